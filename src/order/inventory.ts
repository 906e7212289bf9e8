import type { Line } from '../rpc/lines.js';

/** A line with its price. */
export interface PricedLine extends Line {
  /** The price of one piece, in the currency's minor unit. */
  readonly unitPriceMinor: bigint;
}

/** A reservation of stock, as orders use it. */
export interface Reservation {
  readonly reservationId: string;
  readonly state: 'HELD' | 'CONFIRMED' | 'RELEASED' | 'EXPIRED';
  readonly lines: readonly PricedLine[];
}

/**
 * The operations of the inventory that orders need. A definite refusal is a ServiceError with the inventory's code
 * and details. A transient failure is a ServiceError UNAVAILABLE.
 */
export interface Inventory {
  /** Resolves to the currency of an item, an ISO 4217 code. */
  currencyOf(sku: string): Promise<string>;
  /**
   * Reserves all lines or none, for `holdMs` milliseconds. Resolves to the current state of the reservation: a
   * reservation of an earlier attempt may have ended.
   */
  reserve(lines: readonly Line[], holdMs: number): Promise<Reservation>;
  /** Releases the stock of a reservation. */
  release(reservationId: string): Promise<Reservation>;
}
