import type { Database } from '../database/database.js';
import { uuidv7 } from '../execution/uuid.js';
import type { NewEvent } from './event.js';
import { encodePayload } from './payload.js';
import type { Statements } from './sql/statements.js';
import type { SafeEventTracing } from './tracing.js';

/** The options of an `Appender`. */
export interface AppenderOptions {
  /** The database that stores the events. */
  readonly database: Database;
  /** The destinations of each type of event. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  /** The maximum size of a stored payload, in bytes. */
  readonly maxPayloadBytes: number;
  /** Carries the trace of each append to its deliveries. */
  readonly tracing: SafeEventTracing | undefined;
}

const MAX_NAME_CHARACTERS = 255;

/** Inserts events in the current unit of work. */
export class Appender {
  readonly #database: Database;
  readonly #statements: Statements;
  readonly #maxPayloadBytes: number;
  readonly #tracing: SafeEventTracing | undefined;
  readonly #routes: ReadonlyMap<string, readonly string[]>;

  /** @throws RangeError when a type or a destination is empty or too long */
  constructor({ database, routes, maxPayloadBytes, tracing }: AppenderOptions, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
    this.#maxPayloadBytes = maxPayloadBytes;
    this.#tracing = tracing;
    // All inserts lock the destinations of an aggregate in the same order, so two appends cannot deadlock.
    this.#routes = new Map(Object.entries(routes).map(([type, names]) => [type, [...new Set(names)].sort()]));
    for (const [type, names] of this.#routes) for (const name of [type, ...names]) assertName(name);
  }

  /**
   * Appends an event and resolves to its id.
   * @param onCommit called in this process after the commit of the unit of work
   */
  async append({ type, aggregate, payload }: NewEvent, onCommit: () => void): Promise<string> {
    const destinations = this.#routes.get(type);
    if (!destinations) throw new TypeError(`the outbox has no route for events of type ${type}`);
    assertName(aggregate);
    const { format, bytes } = encodePayload(payload, this.#maxPayloadBytes);
    this.#database.afterCommit(onCommit);
    const id = uuidv7();
    await this.#insert([id, aggregate, type, format, bytes], destinations);
    return id;
  }

  /**
   * Inserts the event for each destination. Repeats the insert for a destination if another transaction has taken the
   * sequence number.
   */
  async #insert(event: readonly (string | Buffer)[], destinations: readonly string[]): Promise<void> {
    const trace = this.#tracing?.appended() ?? null;
    let missing = destinations;
    while (missing.length > 0) {
      const rows = await this.#database.query(this.#statements.append, [
        ...event,
        JSON.stringify(missing),
        trace,
      ]);
      const inserted = new Set(rows.map(({ destination }) => destination));
      missing = missing.filter((destination) => !inserted.has(destination));
    }
  }
}

function assertName(name: string): void {
  const hasValidLength = typeof name === 'string' && name.length >= 1 && name.length <= MAX_NAME_CHARACTERS;
  // Some databases change or refuse unpaired surrogates and NUL.
  if (hasValidLength && !/[\p{Surrogate}\0]/u.test(name)) return;
  throw new RangeError(
    `types, destinations and aggregates must be texts of 1 to ${MAX_NAME_CHARACTERS} characters`,
  );
}
