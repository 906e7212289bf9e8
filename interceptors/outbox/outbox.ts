import type { Database, Row, SqlValue } from '../database/database.js';
import { assertWholeNumber } from '../options/whole-number.js';
import { Appender } from './appender.js';
import type { NewEvent } from './event.js';
import { WorkSignal } from './notifications.js';
import { type Statements, statementsOf } from './sql/statements.js';

export interface OutboxOptions {
  /** With the tables that `migrateOutbox` makes. */
  readonly database: Database;
  /** The names of the destinations that each type of event goes to; none is a choice as well. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** The largest payload, in bytes as it is stored, at least 1. Default: 262,144. */
  readonly maxPayloadBytes?: number;
}

/** How it stands with one destination. */
export interface DestinationReport {
  readonly destination: string;
  /** Events that wait or are being delivered. */
  readonly pending: number;
  /** Dead letters. */
  readonly dead: number;
  /** The age of the oldest event that is pending, in milliseconds; 0 where none is. */
  readonly oldestMs: number;
  /** The receivers that have ended their subscription, so that nothing is sent to them; the latest is the last. */
  readonly closed: readonly EndedSubscription[];
}

/** A receiver that wants no more events. */
export interface EndedSubscription {
  /** The `endpoint` of the destination, as it was then. */
  readonly endpoint: string;
  readonly at: Date;
  readonly reason: string;
}

/** An event that was given up at a destination. The later ones of its aggregate wait behind it. */
export interface DeadLetter {
  readonly eventId: string;
  readonly destination: string;
  readonly type: string;
  readonly aggregate: string;
  readonly attempts: number;
  /** How the last attempt failed. */
  readonly error: string;
  readonly appendedAt: Date;
  readonly deadAt: Date;
}

/** Most dead letters that are listed at once. */
const MOST_LISTED = 1_000;

const REQUEUE_BATCH = 500;

/** Events that commit together with what they tell of, for relays to deliver, and what operators may do with them. */
export class Outbox {
  readonly database: Database;
  readonly #appender: Appender;
  readonly #statements: Statements;
  readonly #bell: WorkSignal;

  /**
   * @throws TypeError `maxPayloadBytes` is no whole number of at least 1
   * @throws RangeError a route has an empty name, or one of more than 255 characters
   */
  constructor(options: OutboxOptions) {
    const { database, routes, maxPayloadBytes = 262_144 } = options;
    assertWholeNumber('maxPayloadBytes', maxPayloadBytes);
    this.database = database;
    this.#bell = new WorkSignal(database);
    this.#statements = statementsOf(database.dialect);
    this.#appender = new Appender({ database, routes, maxPayloadBytes }, this.#statements);
  }

  /**
   * Appends an event in the surrounding transaction or guarded call: it is there if and only if that commits.
   * Transactions that append to one aggregate at once wait for each other where they share a destination. Resolves
   * to the event's id, a UUIDv7 that is another at every append: only one execution of an operation commits.
   * @throws UnitOfWorkError there is no unit of work, so that nothing would bind the event to what it tells of
   * @throws TypeError no route for the type, or a payload that JSON cannot hold
   * @throws RangeError a payload too large, or an aggregate of none or more than 255 characters
   */
  append(event: NewEvent): Promise<string> {
    return this.#appender.append(event, () => this.#bell.ring());
  }

  /** How it stands with each destination that has something pending or dead, or is closed. */
  async report(): Promise<DestinationReport[]> {
    const [counts, closed] = await Promise.all([
      this.database.query(this.#statements.report),
      this.database.query(this.#statements.closed),
    ]);
    const names = new Set([...counts, ...closed].map(({ destination }) => String(destination)));
    return [...names].sort().map((destination) => {
      const count = counts.find((row) => row.destination === destination);
      return {
        destination,
        pending: Number(count?.pending ?? 0),
        dead: Number(count?.dead ?? 0),
        oldestMs: Math.max(0, Number(count?.oldest ?? 0)),
        closed: closed.filter((row) => row.destination === destination).map(endedFrom),
      };
    });
  }

  /**
   * The dead letters, the oldest first, at most 1,000 of them.
   * @throws TypeError the limit is no whole number of at least 1
   */
  async deadLetters(limit = 100): Promise<DeadLetter[]> {
    assertWholeNumber('limit', limit);
    const rows = await this.database.query(this.#statements.deadLetters, [Math.min(limit, MOST_LISTED)]);
    return rows.map((row) => ({
      eventId: String(row.event_id),
      destination: String(row.destination),
      type: String(row.type),
      aggregate: String(row.aggregate),
      attempts: Number(row.attempts),
      error: String(row.last_error),
      appendedAt: new Date(Number(row.created_at)),
      deadAt: new Date(Number(row.dead_at)),
    }));
  }

  /**
   * Lets an event that is a dead letter be tried again, with all its attempts; the time of its first attempt stays.
   * At how many destinations it was one.
   */
  requeue(eventId: string): Promise<number> {
    return this.#operate(this.#statements.requeue, eventId);
  }

  /** As `requeue`, for every dead letter that a destination has now, a bounded batch at a time. */
  async requeueAll(destination: string): Promise<number> {
    const [last] = await this.database.query(this.#statements.lastDied, [destination]);
    const died = last?.died ?? null;
    let requeued = 0;
    for (let some = REQUEUE_BATCH; some === REQUEUE_BATCH && died !== null; requeued += some) {
      some = await this.#operate(this.#statements.requeueSome, destination, died, REQUEUE_BATCH);
    }
    return requeued;
  }

  /** Gives an event that is a dead letter up for good; at how many destinations it was one. */
  async discard(eventId: string): Promise<number> {
    const rows = await this.database.query(this.#statements.discard, [eventId]);
    for (const { destination, aggregate } of rows) {
      const moved = JSON.stringify([aggregate]);
      await this.database.query(this.#statements.advance, [String(destination), moved]);
    }
    if (rows.length > 0) this.#bell.ring();
    return rows.length;
  }

  /** Begins a destination's subscription anew, whichever receiver had ended it; whether one had. */
  async reopen(destination: string): Promise<boolean> {
    await this.database.query(this.#statements.mend, [destination]);
    return (await this.#operate(this.#statements.open, destination)) > 0;
  }

  /**
   * Calls `listener` whenever this process has made something to deliver.
   * @returns a function that ends it
   */
  onWork(listener: () => void): () => void {
    return this.#bell.listen(listener);
  }

  async #operate(statement: string, ...params: SqlValue[]): Promise<number> {
    const rows = await this.database.query(statement, params);
    if (rows.length > 0) this.#bell.ring();
    return rows.length;
  }
}

function endedFrom(row: Row): EndedSubscription {
  return { endpoint: String(row.endpoint), at: new Date(Number(row.closed_at)), reason: String(row.reason) };
}
