import { createHash } from 'node:crypto';
import pg, {
  type ClientBase,
  type CustomTypesConfig,
  type Pool,
  type PoolClient,
  type QueryResult,
} from 'pg';
import type { Row } from '../database.js';
import type { Statement } from '../engine.js';
import { DatabaseUnavailableError } from '../errors.js';

/** The clients that lost their connection while they were checked out. */
const disconnected = new WeakSet<PoolClient>();

/** Checks a client out of the pool. @throws DatabaseUnavailableError when the pool provides no connection in time */
export async function checkOut(pool: Pool): Promise<PoolClient> {
  try {
    const client = await pool.connect();
    // The pool listens only to idle clients. Without a listener, a lost connection would end the process.
    client.on('error', noteDisconnect);
    return client;
  } catch (error) {
    throw new DatabaseUnavailableError(`no connection to the database: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/**
 * Returns a client to its pool.
 * @param destroy whether to close the connection; must be true if its state is not known
 */
export function returnToPool(client: PoolClient, destroy: boolean): void {
  client.removeListener('error', noteDisconnect);
  client.release(destroy);
}

/** Whether the client has lost its connection. Such a client cannot send a statement. */
export function isDisconnected(client: PoolClient): boolean {
  return disconnected.has(client);
}

function noteDisconnect(this: PoolClient): void {
  disconnected.add(this);
}

const integers: ReadonlySet<number> = new Set([
  pg.types.builtins.INT2,
  pg.types.builtins.INT4,
  pg.types.builtins.INT8,
]);

/** Parses integers as bigint, as every engine does. */
const types: CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    integers.has(oid) ? BigInt : pg.types.getTypeParser(oid, format as 'text'),
};

const names = new Map<string, string>();

/**
 * Sends a statement. Each connection prepares the statement once. The name of the prepared statement is a digest of
 * the text.
 */
export async function send(client: ClientBase, statement: Statement): Promise<Row[]> {
  const result: QueryResult<Row> = await client.query<Row>({
    name: nameOf(statement.text),
    text: statement.text,
    values: [...statement.params],
    types,
  });
  return result.rows;
}

function nameOf(text: string): string {
  let name = names.get(text);
  if (!name) {
    name = `rg_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    names.set(text, name);
  }
  return name;
}
