import type { Database, Row, SqlValue } from '../database/database.js';
import { assertHandle } from '../options/handle.js';
import { assertKnownOptions, assertRecord } from '../options/known-options.js';
import { assertWholeNumber } from '../options/whole-number.js';
import { Appender } from './appender.js';
import type { NewEvent } from './event.js';
import { WorkSignal } from './notifications.js';
import type { DeadLetter, DestinationReport, EndedSubscription } from './report.js';
import { type Statements, statementsOf } from './sql/statements.js';
import { type EventTracing, SafeEventTracing } from './tracing.js';

/** The options of `createOutbox`. */
export interface OutboxOptions {
  /** A database with the tables that `migrateOutbox` creates. */
  readonly database: Database;
  /** The destinations of each type of event, by type. The list of a type may be empty. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** The maximum size of a stored payload, in bytes, at least 1. Default: 262,144. */
  readonly maxPayloadBytes?: number;
  /** Carries the trace of each append to the deliveries of its event. Default: no trace is stored. */
  readonly tracing?: EventTracing;
}

const MAX_LISTED_DEAD_LETTERS = 1_000;

const REQUEUE_BATCH_SIZE = 500;

/**
 * Appends events in the transaction that causes them, and offers the operations on dead letters and
 * destinations.
 */
export class Outbox {
  readonly database: Database;
  readonly #appender: Appender;
  readonly #statements: Statements;
  readonly #workSignal: WorkSignal;
  readonly #destinations: readonly string[];

  constructor(options: OutboxOptions) {
    const { database, routes, maxPayloadBytes = 262_144 } = options;
    assertWholeNumber('maxPayloadBytes', maxPayloadBytes);
    this.database = database;
    this.#destinations = Object.values(routes).flat();
    this.#workSignal = new WorkSignal(database);
    this.#statements = statementsOf(database.dialect);
    const tracing = options.tracing && new SafeEventTracing(options.tracing);
    this.#appender = new Appender({ database, routes, maxPayloadBytes, tracing }, this.#statements);
  }

  /**
   * Appends an event in the current transaction or guarded call. The event exists if and only if that
   * transaction commits. Concurrent appends to one aggregate wait for each other if they share a destination.
   *
   * Resolves to the id of the event, a UUIDv7. The id is new in every execution of an operation; only one
   * execution commits.
   * @throws UnitOfWorkError when there is no current unit of work
   * @throws TypeError when the type has no route, or the payload cannot be written as JSON
   * @throws RangeError when the payload is too large, or the aggregate does not have 1 to 255 characters
   */
  append(event: NewEvent): Promise<string> {
    return this.#appender.append(event, () => this.#workSignal.notify());
  }

  /**
   * Resolves to the state of each destination of the routes. Other destinations are included if they have pending
   * events, dead letters or ended subscriptions.
   */
  async report(): Promise<DestinationReport[]> {
    const [counts, closed] = await Promise.all([
      this.database.query(this.#statements.report),
      this.database.query(this.#statements.listClosed),
    ]);
    const stored = [...counts, ...closed].map(({ destination }) => String(destination));
    const names = new Set([...this.#destinations, ...stored]);
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
   * Resolves to the dead letters of all destinations, the oldest first.
   * @param limit the maximum number of dead letters, at most 1,000
   * @throws TypeError when the limit is not a whole number of at least 1
   */
  async deadLetters(limit = 100): Promise<DeadLetter[]> {
    assertWholeNumber('limit', limit);
    const max = Math.min(limit, MAX_LISTED_DEAD_LETTERS);
    const rows = await this.database.query(this.#statements.deadLetters, [max]);
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
   * Makes a dead letter pending again at every destination, with the full number of attempts. The time of its first
   * attempt is kept. Resolves to the number of destinations at which the event was a dead letter.
   */
  requeue(eventId: string): Promise<number> {
    return this.#change(this.#statements.requeue, eventId);
  }

  /**
   * Requeues all current dead letters of a destination, in batches of bounded size. Resolves to the number of
   * requeued events.
   */
  async requeueAll(destination: string): Promise<number> {
    const [last] = await this.database.query(this.#statements.lastDied, [destination]);
    const lastDied = last?.died ?? null;
    let requeued = 0;
    let count = REQUEUE_BATCH_SIZE;
    while (count === REQUEUE_BATCH_SIZE && lastDied !== null) {
      count = await this.#change(this.#statements.requeueBatch, destination, lastDied, REQUEUE_BATCH_SIZE);
      requeued += count;
    }
    return requeued;
  }

  /**
   * Gives up a dead letter permanently. The later events of its aggregate are delivered again. Resolves to the number
   * of destinations at which the event was a dead letter.
   */
  async discard(eventId: string): Promise<number> {
    const rows = await this.database.query(this.#statements.discard, [eventId]);
    for (const { destination, aggregate } of rows) {
      const aggregates = JSON.stringify([aggregate]);
      await this.database.query(this.#statements.advance, [String(destination), aggregates]);
    }
    if (rows.length > 0) this.#workSignal.notify();
    return rows.length;
  }

  /**
   * Reopens a destination: removes all its ended subscriptions. Resolves to whether the destination had an
   * ended subscription.
   */
  async reopen(destination: string): Promise<boolean> {
    await this.database.query(this.#statements.advanceAll, [destination]);
    return (await this.#change(this.#statements.reopen, destination)) > 0;
  }

  /**
   * Calls `listener` whenever this process has made an event due.
   * @returns a function that removes the listener
   */
  onWork(listener: () => void): () => void {
    return this.#workSignal.listen(listener);
  }

  async #change(statement: string, ...params: SqlValue[]): Promise<number> {
    const rows = await this.database.query(statement, params);
    if (rows.length > 0) this.#workSignal.notify();
    return rows.length;
  }
}

/**
 * Creates an outbox. `migrateOutbox` must have created its tables before the first append.
 * @throws TypeError when an option is unknown, or `maxPayloadBytes` is not a whole number of at least 1
 * @throws RangeError when a type or a destination does not have 1 to 255 characters
 */
export function createOutbox(options: OutboxOptions): Outbox {
  assertKnownOptions<OutboxOptions>('createOutbox', options, {
    database: true,
    routes: true,
    maxPayloadBytes: true,
    tracing: true,
  });
  assertHandle('createOutbox', options.database);
  assertRoutes(options.routes);
  return new Outbox(options);
}

/** A text has members too: its characters would become the destinations. */
function assertRoutes(routes: OutboxOptions['routes']): void {
  assertRecord('routes', routes);
  for (const [type, names] of Object.entries(routes))
    if (!Array.isArray(names)) throw new TypeError(`routes: ${type} must have a list of destinations`);
}

function endedFrom(row: Row): EndedSubscription {
  return { endpoint: String(row.endpoint), at: new Date(Number(row.closed_at)), reason: String(row.reason) };
}
