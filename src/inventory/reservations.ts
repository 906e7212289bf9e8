import type { Database } from '../platform/database.js';
import { bySku } from '../rpc/lines.js';
import { alreadyExists, notFound } from '../rpc/service-error.js';

/** The state of a reservation. */
export type ReservationState = 'HELD' | 'CONFIRMED' | 'RELEASED' | 'EXPIRED';

/** A line of a reservation, with the price at its time. */
export interface ReservedLine {
  readonly sku: string;
  readonly quantity: bigint;
  readonly unit_price_minor: bigint;
}

/** A reservation of stock. */
export interface Reservation {
  readonly reservation_id: string;
  readonly state: ReservationState;
  /** Milliseconds since the epoch. */
  readonly expires_at: bigint;
  /** Sorted by sku. */
  readonly lines: readonly ReservedLine[];
}

const insert = `
  INSERT INTO inventory_reservations (reservation_id, state, expires_at) VALUES ($1, 'HELD', $2)
  ON CONFLICT (reservation_id) DO NOTHING RETURNING reservation_id`;

const insertLine = `
  INSERT INTO inventory_reservation_lines (reservation_id, sku, quantity, unit_price_minor)
  VALUES ($1, $2, $3, $4)`;

const find = 'SELECT reservation_id, state, expires_at FROM inventory_reservations WHERE reservation_id = $1';

const findLines = `
  SELECT sku, quantity, unit_price_minor FROM inventory_reservation_lines WHERE reservation_id = $1`;

// Each statement names the old state, so that only one of two concurrent changes finds the row.
const confirm = `
  UPDATE inventory_reservations SET state = 'CONFIRMED'
  WHERE reservation_id = $1 AND state = 'HELD' AND expires_at > $2 RETURNING reservation_id`;

const release = `
  UPDATE inventory_reservations SET state = CASE WHEN expires_at > $2 THEN 'RELEASED' ELSE 'EXPIRED' END
  WHERE reservation_id = $1 AND state = 'HELD' RETURNING reservation_id`;

const expire = `
  UPDATE inventory_reservations SET state = 'EXPIRED'
  WHERE reservation_id = $1 AND state = 'HELD' AND expires_at <= $2 RETURNING reservation_id`;

const overdue = `
  SELECT reservation_id FROM inventory_reservations
  WHERE state = 'HELD' AND expires_at <= $1 ORDER BY expires_at LIMIT $2`;

const overdueOfSku = `
  SELECT hold.reservation_id FROM inventory_reservations AS hold
  JOIN inventory_reservation_lines AS line ON line.reservation_id = hold.reservation_id
  WHERE hold.state = 'HELD' AND hold.expires_at <= $1 AND line.sku = $2 ORDER BY hold.expires_at LIMIT $3`;

/** The table of reservations. A transaction must change a reservation before its items. */
export class Reservations {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Inserts a reservation and its lines.
   * @throws ServiceError ALREADY_EXISTS when the id is in use
   */
  async add({ reservation_id: id, expires_at, lines }: Reservation): Promise<void> {
    const added = await this.#database.query(insert, [id, expires_at]);
    if (added.length === 0) throw alreadyReserved(id);
    for (const line of lines) {
      await this.#database.query(insertLine, [id, line.sku, line.quantity, line.unit_price_minor]);
    }
  }

  /**
   * Returns a reservation with its state at `nowMs`. An overdue hold is EXPIRED, even if its row is still HELD.
   * @throws ServiceError NOT_FOUND when the reservation does not exist
   */
  async get(id: string, nowMs: number): Promise<Reservation> {
    const [found] = await this.#database.query<Omit<Reservation, 'lines'>>(find, [id]);
    if (!found) throw notFound('RESERVATION_NOT_FOUND', `no reservation ${id}`, { reservation_id: id });
    const isOverdue = found.state === 'HELD' && found.expires_at <= BigInt(nowMs);
    return { ...found, state: isOverdue ? 'EXPIRED' : found.state, lines: await this.lines(id) };
  }

  /** Returns the lines of a reservation, sorted by sku. */
  async lines(id: string): Promise<ReservedLine[]> {
    return (await this.#database.query<ReservedLine>(findLines, [id])).sort(bySku);
  }

  /** Confirms a hold that is not overdue. Returns whether the state has changed. */
  async confirm(id: string, nowMs: number): Promise<boolean> {
    return (await this.#database.query(confirm, [id, nowMs])).length > 0;
  }

  /** Releases a hold, or expires an overdue hold. Returns whether the state has changed. */
  async release(id: string, nowMs: number): Promise<boolean> {
    return (await this.#database.query(release, [id, nowMs])).length > 0;
  }

  /** Expires an overdue hold. Returns whether the state has changed. */
  async expire(id: string, nowMs: number): Promise<boolean> {
    return (await this.#database.query(expire, [id, nowMs])).length > 0;
  }

  /** Returns the ids of at most `limit` overdue holds, the oldest hold first. */
  async overdue(nowMs: number, limit: number): Promise<string[]> {
    return ids(await this.#database.query(overdue, [nowMs, limit]));
  }

  /** Returns the ids of at most `limit` overdue holds with stock of this item, the oldest hold first. */
  async overdueOf(sku: string, nowMs: number, limit: number): Promise<string[]> {
    return ids(await this.#database.query(overdueOfSku, [nowMs, sku, limit]));
  }
}

/** The operation was retried after its record had expired. */
function alreadyReserved(id: string) {
  return alreadyExists('RESERVATION_EXISTS', 'this reservation was made before', { reservation_id: id });
}

function ids(rows: readonly object[]): string[] {
  return (rows as { reservation_id: string }[]).map((row) => row.reservation_id);
}
