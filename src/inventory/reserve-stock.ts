import type { Database } from '../platform/database.js';
import { bySku, type Line } from '../rpc/lines.js';
import { InsufficientStock, type Items } from './items.js';
import type { Reservation, Reservations, ReservedLine } from './reservations.js';

/** The tables that a reservation changes. */
export interface Stock {
  readonly database: Database;
  readonly items: Items;
  readonly reservations: Reservations;
}

/** A requested hold of stock. */
export interface Hold {
  readonly reservationId: string;
  /** One line for each sku, sorted by sku. */
  readonly lines: readonly Line[];
  readonly nowMs: number;
  readonly expiresAtMs: number;
}

const MAX_OVERDUE = 500;

/**
 * Holds all lines or none. If the stock of an item is too small, it first expires overdue holds of that item.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION with INSUFFICIENT_STOCK; ALREADY_EXISTS
 */
export async function reserveStock(stock: Stock, hold: Hold): Promise<Reservation> {
  const overdue = new Set<string>();
  for (;;) {
    try {
      return await stock.database.transaction(() => attempt(stock, hold, [...overdue].sort()));
    } catch (error) {
      if (!(error instanceof InsufficientStock)) throw error;
      const known = overdue.size;
      const found = await stock.reservations.overdueOf(error.sku, hold.nowMs, MAX_OVERDUE);
      for (const id of found) overdue.add(id);
      if (overdue.size === known) throw error.error;
    }
  }
}

/** Locks reservations by id, then items by sku. Every transaction uses this order, so there is no deadlock. */
async function attempt(stock: Stock, hold: Hold, overdue: readonly string[]): Promise<Reservation> {
  const freed = await expireAll(stock, overdue, hold.nowMs);
  const lines: ReservedLine[] = [];
  for (const line of [...freed, ...hold.lines].sort(freedFirst)) {
    if (isFreed(line)) await stock.items.free(line.sku, line.quantity);
    else lines.push(await holdLine(stock, line, hold.nowMs));
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

/** Sorts by sku. For one sku, freed lines come before lines to hold. */
function freedFirst(a: Line | ReservedLine, b: Line | ReservedLine): number {
  return bySku(a, b) || Number(isFreed(b)) - Number(isFreed(a));
}

/** Only the lines of expired holds come from the database, with a bigint quantity. */
function isFreed(line: Line | ReservedLine): line is ReservedLine {
  return typeof line.quantity === 'bigint';
}
