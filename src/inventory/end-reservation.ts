import { failedPrecondition } from '../rpc/service-error.js';
import type { Reservation } from './reservations.js';
import type { Stock } from './reserve-stock.js';

/**
 * Confirms a reservation and removes its stock from the inventory. Confirming again returns the same reservation.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION with RESERVATION_RELEASED or RESERVATION_EXPIRED
 */
export async function confirmReservation(stock: Stock, id: string, nowMs: number): Promise<Reservation> {
  return stock.database.transaction(async () => {
    const changed = await stock.reservations.confirm(id, nowMs);
    const reservation = await stock.reservations.get(id, nowMs);
    if (reservation.state !== 'CONFIRMED') throw wrongState(reservation, 'confirmed');
    if (changed) for (const line of reservation.lines) await stock.items.take(line.sku, line.quantity);
    return reservation;
  });
}

/**
 * Releases a reservation and its held stock. A released or expired reservation is returned without a change.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION with RESERVATION_CONFIRMED
 */
export async function releaseReservation(stock: Stock, id: string, nowMs: number): Promise<Reservation> {
  return stock.database.transaction(async () => {
    const changed = await stock.reservations.release(id, nowMs);
    const reservation = await stock.reservations.get(id, nowMs);
    if (reservation.state === 'CONFIRMED') throw wrongState(reservation, 'released');
    if (changed) await freeAll(stock, reservation.lines);
    return reservation;
  });
}

/** Expires an overdue hold and releases its stock. Returns whether the hold was overdue. */
export async function expireReservation(stock: Stock, id: string, nowMs: number): Promise<boolean> {
  return stock.database.transaction(async () => {
    if (!(await stock.reservations.expire(id, nowMs))) return false;
    await freeAll(stock, await stock.reservations.lines(id));
    return true;
  });
}

async function freeAll({ items }: Stock, lines: Reservation['lines']): Promise<void> {
  for (const line of lines) await items.free(line.sku, line.quantity);
}

function wrongState({ reservation_id, state }: Reservation, attempted: string) {
  const message = `the reservation is ${state.toLowerCase()} and cannot be ${attempted}`;
  return failedPrecondition(`RESERVATION_${state}`, message, { reservation_id });
}
