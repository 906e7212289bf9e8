import type { Line } from '../rpc/lines.js';

export interface PricedLine extends Line {
  /** Price of one piece, in the currency's minor unit. */
  readonly unitPriceMinor: bigint;
}

export interface Reservation {
  readonly reservationId: string;
  readonly state: 'HELD' | 'CONFIRMED' | 'RELEASED' | 'EXPIRED';
  readonly lines: readonly PricedLine[];
}

/**
 * What orders need of the inventory. A refusal that is final is a ServiceError with the inventory's code and
 * details; anything that may pass is a ServiceError UNAVAILABLE.
 */
export interface Inventory {
  /** The currency of an item, an ISO 4217 code. */
  currencyOf(sku: string): Promise<string>;
  /**
   * Reserves all lines or none, for `holdMs` milliseconds. The answer is the reservation as it is now: one
   * that an earlier attempt made may have ended since.
   */
  reserve(lines: readonly Line[], holdMs: number): Promise<Reservation>;
  /** Gives the stock of a reservation back. */
  release(reservationId: string): Promise<Reservation>;
}
