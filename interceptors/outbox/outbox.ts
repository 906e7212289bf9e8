import type { Database } from '../replay-guard/stores/sql/database.js';
import { Appender } from './appender.js';
import { Bell } from './bell.js';
import type { NewEvent } from './event.js';
import { type Statements, statementsOf } from './statements.js';

export interface OutboxOptions {
  /** Migrated with `outboxSchema`. */
  readonly database: Database;
  /** The names of the destinations that each type of event goes to; none is a choice as well. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** The largest payload, in bytes as it is stored. Default: 262,144. */
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
  /** Present where the receiver has ended its subscription, so that nothing is sent to it. */
  readonly closed?: { readonly at: Date; readonly reason: string };
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

/** Events that commit together with what they tell of, for relays to deliver, and what operators may do with them. */
export class Outbox {
  readonly database: Database;
  readonly #appender: Appender;
  readonly #statements: Statements;
  readonly #bell: Bell;

  /** @throws RangeError a route has an empty name, or one of more than 255 characters */
  constructor(options: OutboxOptions) {
    this.database = options.database;
    this.#bell = new Bell(options.database);
    this.#statements = statementsOf(options.database.dialect);
    this.#appender = new Appender({ maxPayloadBytes: 262_144, ...options }, this.#statements);
  }

  /**
   * Appends an event in the surrounding transaction or guarded call: it is there if and only if that commits.
   * Appends to one aggregate in several transactions at once wait for each other. Resolves to the event's id,
   * which in a guarded call is the same in every execution of the operation.
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
      const end = closed.find((row) => row.destination === destination);
      return {
        destination,
        pending: Number(count?.pending ?? 0),
        dead: Number(count?.dead ?? 0),
        oldestMs: Math.max(0, Number(count?.oldest ?? 0)),
        ...(end && { closed: { at: new Date(Number(end.closed_at)), reason: String(end.reason) } }),
      };
    });
  }

  /** The dead letters, the oldest first, at most 1,000 of them. */
  async deadLetters(limit = 100): Promise<DeadLetter[]> {
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

  /** Lets an event that is a dead letter be tried again as if it were new; at how many destinations it was one. */
  requeue(eventId: string): Promise<number> {
    return this.#operate(this.#statements.requeue, eventId);
  }

  /** As `requeue`, for every dead letter of a destination. */
  requeueAll(destination: string): Promise<number> {
    return this.#operate(this.#statements.requeueAll, destination);
  }

  /** Gives an event that is a dead letter up for good; at how many destinations it was one. */
  discard(eventId: string): Promise<number> {
    return this.#operate(this.#statements.discard, eventId);
  }

  /** Begins the subscription of a closed destination anew; whether it was closed. */
  async reopen(destination: string): Promise<boolean> {
    return (await this.#operate(this.#statements.open, destination)) > 0;
  }

  /**
   * Calls `listener` whenever this process has made something to deliver.
   * @returns a function that ends it
   */
  onWork(listener: () => void): () => void {
    return this.#bell.listen(listener);
  }

  async #operate(statement: string, subject: string): Promise<number> {
    const rows = await this.database.query(statement, [subject]);
    if (rows.length > 0) this.#bell.ring();
    return rows.length;
  }
}
