import { failedPrecondition } from '../rpc/service-error.js';
import type { Reservation } from './reservations.js';
import type { Stock } from './reserve-stock.js';

/**
 * Takes the held stock for good; confirming the confirmed answers the same.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION RESERVATION_RELEASED or RESERVATION_EXPIRED
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
 * Gives the held stock back; releasing the released or the expired answers the same.
 * @throws ServiceError NOT_FOUND; FAILED_PRECONDITION RESERVATION_CONFIRMED
 */
export async function releaseReservation(stock: Stock, id: string, nowMs: number): Promise<Reservation> {
  return stock.database.transaction(async () => {
    const changed = await stock.reservations.release(id, nowMs);
    const reservation = await stock.reservations.get(id, nowMs);
    if (reservation.state === 'CONFIRMED') throw wrongState(reservation, 'released');
    if (changed) await giveBack(stock, reservation.lines);
    return reservation;
  });
}

/** Expires a hold if it is overdue, and gives its stock back; tells whether it did. */
export async function expireReservation(stock: Stock, id: string, nowMs: number): Promise<boolean> {
  return stock.database.transaction(async () => {
    if (!(await stock.reservations.expire(id, nowMs))) return false;
    await giveBack(stock, await stock.reservations.lines(id));
    return true;
  });
}

async function giveBack({ items }: Stock, lines: Reservation['lines']): Promise<void> {
  for (const line of lines) await items.free(line.sku, line.quantity);
}

function wrongState({ reservation_id, state }: Reservation, wanted: string) {
  const message = `the reservation is ${state.toLowerCase()} and cannot be ${wanted}`;
  return failedPrecondition(`RESERVATION_${state}`, message, { reservation_id });
}
