import type { Database, Row, SqlValue } from '../../database/database.js';
import type { ResolvedDestination } from '../destination/destination.js';
import type { OutboxEvent } from '../event.js';
import type { StoredPayload } from '../payload.js';
import type { Statements } from '../sql/statements.js';

/** An event that is this relay's to deliver to one destination, until its lease runs out. */
export interface Claimed {
  readonly event: Omit<OutboxEvent, 'payload'>;
  readonly payload: StoredPayload;
  readonly destination: string;
  /** How often it was claimed since it was appended or requeued. */
  readonly attempt: number;
  readonly firstAttemptAt: Date;
  /** Grows with every claim. Who names an older one has lost the event to somebody else, and marks nothing. */
  readonly fence: bigint;
}

export interface Claim {
  readonly room: number;
  readonly look: number;
  readonly leaseMs: number;
}

export interface Claimable {
  readonly claimed: readonly Claimed[];
  /** The aggregates of the events that were parked. */
  readonly parked: readonly string[];
}

const LONGEST_ERROR = 500;

/** The events that wait for delivery, as the relays see them. Any number of relays may work on it. */
export class Queue {
  readonly #database: Database;
  readonly #statements: Statements;

  constructor(database: Database, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
  }

  /**
   * At most `room` events of the destination whose turn it is, among the `look` that have been due longest. Those
   * among them that must wait for an earlier one are parked: `advance` their aggregates afterwards.
   */
  async claim({ name, endpoint }: ResolvedDestination, { room, look, leaseMs }: Claim): Promise<Claimable> {
    const params = [name, endpoint, room, leaseMs, look];
    const rows = await this.#database.query(this.#statements.claim, params);
    const claimed = rows.filter(({ due_at }) => due_at !== null).map((row) => claimedFrom(name, row));
    const parked = rows.filter(({ due_at }) => due_at === null).map(({ aggregate }) => String(aggregate));
    return { claimed, parked };
  }

  /** Makes the first events of these aggregates due, where they are parked; how many were. */
  async advance(destination: string, aggregates: readonly string[]): Promise<number> {
    const params = [destination, JSON.stringify(aggregates)];
    return (await this.#database.query(this.#statements.advance, params)).length;
  }

  /** The same for all aggregates: for what a crash has left behind. */
  async mend(destination: string): Promise<void> {
    await this.#database.query(this.#statements.mend, [destination]);
  }

  /** Whether the event was still the caller's; so with all that mark it. */
  delivered(claimed: Claimed): Promise<boolean> {
    return this.#mark(this.#statements.delivered, claimed);
  }

  retry(claimed: Claimed, inMs: number, error: unknown): Promise<boolean> {
    return this.#mark(this.#statements.retry, claimed, inMs, textOf(error));
  }

  bury(claimed: Claimed, error: unknown): Promise<boolean> {
    return this.#mark(this.#statements.bury, claimed, textOf(error));
  }

  /** As if this attempt had not been. */
  giveBack(claimed: Claimed): Promise<boolean> {
    return this.#mark(this.#statements.giveBack, claimed);
  }

  /** Ends the subscription of what stands behind the destination; whether it was this call that did. */
  async close({ name, endpoint }: ResolvedDestination, reason: unknown): Promise<boolean> {
    return (await this.#database.query(this.#statements.close, [name, endpoint, textOf(reason)])).length > 0;
  }

  /** Deletes at most `limit` events that were delivered or discarded so long ago, and returns how many. */
  async purge(retentionMs: number, limit: number): Promise<number> {
    return (await this.#database.query(this.#statements.purge, [retentionMs, limit])).length;
  }

  /** Deletes at most `limit` events so old that wait for a subscription that ended so long ago. */
  async purgeClosed(
    { name, endpoint }: ResolvedDestination,
    retentionMs: number,
    limit: number,
  ): Promise<number> {
    await this.#database.query(this.#statements.forget, [name, endpoint, retentionMs]);
    const params = [name, endpoint, retentionMs, limit];
    return (await this.#database.query(this.#statements.purgeClosed, params)).length;
  }

  async #mark(
    statement: string,
    { event, destination, fence }: Claimed,
    ...more: SqlValue[]
  ): Promise<boolean> {
    return (await this.#database.query(statement, [event.id, destination, fence, ...more])).length > 0;
  }
}

function claimedFrom(destination: string, row: Row): Claimed {
  const { format, payload: bytes } = row as unknown as { format: StoredPayload['format']; payload: Buffer };
  const event = {
    id: String(row.event_id),
    type: String(row.type),
    aggregate: String(row.aggregate),
    appendedAt: new Date(Number(row.created_at)),
  };
  const firstAttemptAt = new Date(Number(row.first_attempt_at));
  const attempt = Number(row.attempts);
  return {
    event,
    payload: { format, bytes },
    destination,
    attempt,
    firstAttemptAt,
    fence: row.fence as bigint,
  };
}

/** For operators to read: never more than a few lines of it. */
function textOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  // Postgres takes no NUL in a text.
  return `${error}${cause}`.replaceAll('\0', '').slice(0, LONGEST_ERROR);
}
