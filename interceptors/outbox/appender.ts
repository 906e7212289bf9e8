import { v7 as uuidv7 } from 'uuid';
import type { Database } from '../database/database.js';
import type { NewEvent } from './event.js';
import { encodePayload } from './payload.js';
import type { Statements } from './sql/statements.js';

export interface AppenderOptions {
  readonly database: Database;
  /** The destinations of each type of event. */
  readonly routes: Readonly<Record<string, readonly string[]>>;
  readonly maxPayloadBytes: number;
}

const LONGEST_NAME = 255;

/** Writes events down in the unit of work that makes them. */
export class Appender {
  readonly #database: Database;
  readonly #statements: Statements;
  readonly #maxPayloadBytes: number;
  readonly #routes: ReadonlyMap<string, readonly string[]>;

  /** @throws RangeError a name is empty or too long */
  constructor({ database, routes, maxPayloadBytes }: AppenderOptions, statements: Statements) {
    this.#database = database;
    this.#statements = statements;
    this.#maxPayloadBytes = maxPayloadBytes;
    // In one order, so that no two wait for each other at two destinations of an aggregate.
    this.#routes = new Map(Object.entries(routes).map(([type, names]) => [type, [...new Set(names)].sort()]));
    for (const [type, names] of this.#routes) for (const name of [type, ...names]) assertName(name);
  }

  /** @param committed called after the commit, in this process */
  async append({ type, aggregate, payload }: NewEvent, committed: () => void): Promise<string> {
    const destinations = this.#routes.get(type);
    if (!destinations) throw new TypeError(`the outbox has no route for events of type ${type}`);
    assertName(aggregate);
    const { format, bytes } = encodePayload(payload, this.#maxPayloadBytes);
    this.#database.afterCommit(committed);
    const id = uuidv7();
    await this.#insert([id, aggregate, type, format, bytes], destinations);
    return id;
  }

  /** Again for the destinations at which another transaction has taken the place meanwhile. */
  async #insert(event: readonly (string | Buffer)[], destinations: readonly string[]): Promise<void> {
    let missing = destinations;
    while (missing.length > 0) {
      const rows = await this.#database.query(this.#statements.append, [...event, JSON.stringify(missing)]);
      const inserted = new Set(rows.map(({ destination }) => destination));
      missing = missing.filter((destination) => !inserted.has(destination));
    }
  }
}

function assertName(name: string): void {
  const fits = typeof name === 'string' && name.length >= 1 && name.length <= LONGEST_NAME;
  // Half a character and NUL do not come back from every database as they went in.
  if (fits && !/[\p{Surrogate}\0]/u.test(name)) return;
  throw new RangeError(`types, destinations and aggregates are texts of 1 to ${LONGEST_NAME} characters`);
}
