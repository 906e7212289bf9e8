import type { Database } from '../platform/database.js';
import { bySku, type Line } from '../rpc/lines.js';
import { InsufficientStock, type Items } from './items.js';
import type { Reservation, Reservations, ReservedLine } from './reservations.js';

/** What a reservation works on. */
export interface Stock {
  readonly database: Database;
  readonly items: Items;
  readonly reservations: Reservations;
}

export interface Hold {
  readonly reservationId: string;
  /** One line for each sku, in the order of skus. */
  readonly lines: readonly Line[];
  readonly nowMs: number;
  readonly expiresAtMs: number;
}

const MOST_OVERDUE = 500;

/**
 * Holds all lines or none. Stock that overdue holds still keep is theirs no more, so where it is short they
 * are expired first.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION INSUFFICIENT_STOCK; ALREADY_EXISTS
 */
export async function reserveStock(stock: Stock, hold: Hold): Promise<Reservation> {
  const overdue = new Set<string>();
  for (;;) {
    try {
      return await stock.database.transaction(() => attempt(stock, hold, [...overdue].sort()));
    } catch (error) {
      if (!(error instanceof InsufficientStock)) throw error;
      const known = overdue.size;
      const found = await stock.reservations.overdueOf(error.sku, hold.nowMs, MOST_OVERDUE);
      for (const id of found) overdue.add(id);
      if (overdue.size === known) throw error.error;
    }
  }
}

/** Locks the reservations by id, then the items by sku: everybody's order, so nobody deadlocks. */
async function attempt(stock: Stock, hold: Hold, overdue: readonly string[]): Promise<Reservation> {
  const freed = await expireAll(stock, overdue, hold.nowMs);
  const lines: ReservedLine[] = [];
  for (const step of [...freed, ...hold.lines].sort(freedFirst)) {
    if (typeof step.quantity === 'bigint') await stock.items.free(step.sku, step.quantity);
    else lines.push(await holdLine(stock, step as Line, hold.nowMs));
  }
  const reservation: Reservation = {
    reservation_id: hold.reservationId,
    state: 'HELD',
    expires_at: BigInt(hold.expiresAtMs),
    lines,
  };
  await stock.reservations.add(reservation);
  return reservation;
}

async function expireAll({ reservations }: Stock, overdue: readonly string[], nowMs: number) {
  const freed: ReservedLine[] = [];
  for (const id of overdue) {
    if (await reservations.expire(id, nowMs)) freed.push(...(await reservations.lines(id)));
  }
  return freed;
}

async function holdLine({ items }: Stock, line: Line, nowMs: number): Promise<ReservedLine> {
  const unit_price_minor = await items.hold(line, nowMs);
  return { sku: line.sku, quantity: BigInt(line.quantity), unit_price_minor };
}

function freedFirst(a: Line | ReservedLine, b: Line | ReservedLine): number {
  const isFreed = (line: Line | ReservedLine) => (typeof line.quantity === 'bigint' ? 0 : 1);
  return bySku(a, b) || isFreed(a) - isFreed(b);
}
