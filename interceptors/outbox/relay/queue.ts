import type { Database, Row, SqlValue } from '../../database/database.js';
import type { ResolvedDestination } from '../destination/destination.js';
import type { OutboxEvent } from '../event.js';
import type { StoredPayload } from '../payload.js';
import type { Statements } from '../sql/statements.js';

/** An event that this relay may deliver to one destination until the lease expires. */
export interface ClaimedEvent {
  readonly event: Omit<OutboxEvent, 'payload'>;
  readonly payload: StoredPayload;
  /** The stored trace context of the append. */
  readonly trace: string | null;
  readonly destination: string;
  /** The number of claims since the event was appended or requeued. */
  readonly attempt: number;
  readonly firstAttemptAt: Date;
  /**
   * Increases with every claim. A relay with an older fence has lost its lease and can no longer mark the
   * event.
   */
  readonly fence: bigint;
}

/** The bounds of one claim. */
export interface ClaimLimits {
  readonly maxClaimed: number;
  readonly maxExamined: number;
  readonly leaseMs: number;
}

/** The result of one claim. */
export interface ClaimResult {
  readonly claimed: readonly ClaimedEvent[];
  /** The aggregates of the parked events. */
  readonly parked: readonly string[];
}

const MAX_ERROR_CHARACTERS = 500;

/** The stored events of an outbox. Any number of relays may use the same tables. */
export class Queue {
  readonly #database: Database;
  readonly #statements: Statements;

  constructor(database: Database, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
  }

  /**
   * Examines at most `maxExamined` due events of a destination, the earliest first. Claims at most `maxClaimed`
   * events that are first in their aggregate, and parks all other events. Call `advance` with the returned aggregates
   * afterwards.
   */
  async claim(
    { name, endpoint }: ResolvedDestination,
    { maxClaimed, maxExamined, leaseMs }: ClaimLimits,
  ): Promise<ClaimResult> {
    const params = [name, endpoint, maxClaimed, leaseMs, maxExamined];
    const rows = await this.#database.query(this.#statements.claim, params);
    const claimed = rows.filter(({ due_at }) => due_at !== null).map((row) => claimedFrom(name, row));
    const parked = rows.filter(({ due_at }) => due_at === null).map(({ aggregate }) => String(aggregate));
    return { claimed, parked };
  }

  /** Makes the parked first events of the aggregates due. Resolves to the number of these events. */
  async advance(destination: string, aggregates: readonly string[]): Promise<number> {
    const params = [destination, JSON.stringify(aggregates)];
    return (await this.#database.query(this.#statements.advance, params)).length;
  }

  /** Advances every aggregate of the destination, because a process may have crashed before its call of `advance`. */
  async advanceAll(destination: string): Promise<void> {
    await this.#database.query(this.#statements.advanceAll, [destination]);
  }

  /**
   * Marks the event as delivered. Resolves to whether this relay still had the lease, as the other methods on a
   * claimed event do.
   */
  markDelivered(claimed: ClaimedEvent): Promise<boolean> {
    return this.#mark(this.#statements.markDelivered, claimed);
  }

  /** Makes the event due again in `inMs` milliseconds. */
  scheduleRetry(claimed: ClaimedEvent, inMs: number, error: unknown): Promise<boolean> {
    return this.#mark(this.#statements.scheduleRetry, claimed, inMs, textOf(error));
  }

  /** Makes the event a dead letter. */
  markDead(claimed: ClaimedEvent, error: unknown): Promise<boolean> {
    return this.#mark(this.#statements.markDead, claimed, textOf(error));
  }

  /** Releases the claim. The attempt does not count. */
  release(claimed: ClaimedEvent): Promise<boolean> {
    return this.#mark(this.#statements.release, claimed);
  }

  /**
   * Makes events of a destination due now, if their due time is more than `maxAheadMs` ahead. Leases and pauses are
   * shorter, so the clock was set back after such a due time was written.
   */
  async recall(destination: string, maxAheadMs: number): Promise<void> {
    await this.#database.query(this.#statements.recall, [destination, maxAheadMs]);
  }

  /** Ends the subscription of the endpoint. Resolves to whether this call ended the subscription. */
  async close({ name, endpoint }: ResolvedDestination, reason: unknown): Promise<boolean> {
    return (await this.#database.query(this.#statements.close, [name, endpoint, textOf(reason)])).length > 0;
  }

  /**
   * Deletes at most `limit` events that ended at least `retentionMs` ago. Resolves to the number of deleted
   * events.
   */
  async purge(retentionMs: number, limit: number): Promise<number> {
    return (await this.#database.query(this.#statements.purge, [retentionMs, limit])).length;
  }

  /**
   * Deletes at most `limit` events of an ended subscription. The subscription must have ended at least `retentionMs`
   * ago, and the events must be at least `retentionMs` old. Resolves to the number of deleted events.
   */
  async purgeClosed(
    { name, endpoint }: ResolvedDestination,
    retentionMs: number,
    limit: number,
  ): Promise<number> {
    await this.#database.query(this.#statements.deleteOldClosed, [name, endpoint, retentionMs]);
    const params = [name, endpoint, retentionMs, limit];
    return (await this.#database.query(this.#statements.purgeClosed, params)).length;
  }

  async #mark(
    statement: string,
    { event, destination, fence }: ClaimedEvent,
    ...more: SqlValue[]
  ): Promise<boolean> {
    return (await this.#database.query(statement, [event.id, destination, fence, ...more])).length > 0;
  }
}

function claimedFrom(destination: string, row: Row): ClaimedEvent {
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
    trace: row.trace === null ? null : String(row.trace),
    destination,
    attempt,
    firstAttemptAt,
    fence: row.fence as bigint,
  };
}

/** Returns a short text for operators: the error and its cause. */
function textOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  // Postgres refuses NUL in a text.
  return `${error}${cause}`.replaceAll('\0', '').slice(0, MAX_ERROR_CHARACTERS);
}
