import type { Database } from '../replay-guard/stores/sql/database.js';
import type { NewEvent } from './event.js';
import { nextEventId } from './event-id.js';
import { encodePayload } from './payload.js';
import type { Statements } from './statements.js';

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
    // In one order, so that nobody waits for the other at two destinations of an aggregate.
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
    const id = nextEventId(type, aggregate);
    if (destinations.length === 0) return id;
    const params = [id, aggregate, type, format, bytes, JSON.stringify(destinations)];
    while (!(await this.#insert(params, destinations.length)));
    return id;
  }

  /** Whether the event is there for every destination. If not, another transaction has taken its place in the order. */
  async #insert(params: readonly (string | Buffer)[], wanted: number): Promise<boolean> {
    const inserted = await this.#database.query(this.#statements.append, params);
    if (inserted.length === wanted) return true;
    const [row] = await this.#database.query(this.#statements.appended, params.slice(0, 1));
    return Number(row?.found) >= wanted;
  }
}

function assertName(name: string): void {
  if (typeof name === 'string' && name.length >= 1 && name.length <= LONGEST_NAME) return;
  throw new RangeError(`types, destinations and aggregates have 1 to ${LONGEST_NAME} characters`);
}
