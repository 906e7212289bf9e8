import type { Row } from '../../database.js';
import { DatabaseUnavailableError, NoConnectionError, PoolerError } from '../../errors.js';
import { isUnknownStatement, toDatabaseError } from '../errors.js';
import type { Connections } from '../pool/connections.js';

/** How often two connections are compared. A pooler may give a connection the same session several times. */
const COMPARISONS = 3;

/** Reads the process of the session, and its statement time-out in milliseconds. */
const sessionOf = `SELECT pg_backend_pid() AS process,
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'statement_timeout') AS statement_ms`;

/** Runs one statement on a connection and resolves to its first row. */
type Query = (text: string) => Promise<Row>;

/**
 * Connects once, and refuses a pooler that gives each transaction another session of Postgres. A pooler reports a process
 * number of its own when a connection is opened. A pooler that keeps one session for each connection is accepted, if it
 * passes the time-outs on.
 * @param isPooled whether the option `pooler` is set, so that such a pooler is expected
 * @throws PoolerError when the option is needed and not set
 * @throws TypeError when the pooler refuses a parameter of the connection string, or permits no transactions
 * @throws DatabaseUnavailableError when the database cannot be reached
 */
export async function checkSessions(connections: Connections, isPooled: boolean): Promise<void> {
  try {
    const found = await borrow(connections, async (query, reported, sentMs) => {
      if (isPooled) await tryTransaction(query);
      if (isPooled || reported === undefined) return undefined;
      return findPooler(connections, { query, reported, sentMs });
    });
    if (found) throw needed(found);
  } catch (error) {
    const refusal = refusedParameter(error);
    if (refusal === undefined) throw error;
    if (isPooled) throw new TypeError(`the pooler refuses a parameter of the connection string: ${refusal}`);
    throw needed(`a pooler refuses the time-outs (${refusal})`);
  }
}

/**
 * A pooler in statement mode answers single statements, and fails each transaction.
 * @throws TypeError when the pooler permits no transactions
 */
async function tryTransaction(query: Query): Promise<void> {
  try {
    await query('BEGIN');
  } catch (error) {
    const { cause } = error as Error;
    const isStatementMode = cause instanceof Error && /\bstatement pooling mode\b/.test(cause.message);
    if (!isStatementMode) throw error;
    throw new TypeError('the pooler is in statement mode, which has no transactions: use transaction mode');
  }
  await query('ROLLBACK');
}

/** Resolves to whether the process of the session is another one than the connection was told when it was opened. */
export function seesPooler(connections: Connections): Promise<boolean> {
  return borrow(connections, async (query, told) => {
    if (told === undefined) return false;
    const { process } = await query(sessionOf);
    return process !== BigInt(told);
  });
}

function needed(found: string): PoolerError {
  const text = `${found}; set the option \`pooler\` to 'transaction'`;
  return new PoolerError(text, { cause: new Error(found) });
}

/** A connection, with the parameters that were sent and the process that was reported when it was opened. */
interface First {
  readonly query: Query;
  readonly reported: number;
  readonly sentMs: number | undefined;
}

/** Returns the sign that connections share sessions. Undefined without such a sign. */
async function findPooler(connections: Connections, first: First): Promise<string | undefined> {
  const { process: own, statement_ms: ms } = await first.query(sessionOf);
  if (own === BigInt(first.reported)) return undefined;
  if (first.sentMs !== undefined && ms !== String(first.sentMs)) {
    return 'the database is behind a pooler that ignores the time-outs of a connection';
  }
  if (!connections.hasSeveral) return undefined;
  const found = 'the database is behind a pooler that gives each transaction another session';
  try {
    return (await areShared(connections, first.query, own)) ? found : undefined;
  } catch (error) {
    if (error instanceof Error && isUnknownStatement(error.cause)) return found;
    // The application uses the other connections of its pool.
    if (error instanceof NoConnectionError) return undefined;
    throw error;
  }
}

/** Returns whether a connection gets another session while the transaction of a second connection is open. */
function areShared(connections: Connections, first: Query, own: Row[string] | undefined): Promise<boolean> {
  return borrow(connections, async (second) => {
    for (let comparison = 0; comparison < COMPARISONS; comparison++) {
      await second('BEGIN');
      const { process: other } = await second(sessionOf);
      const { process: again } = await first(sessionOf);
      await second('ROLLBACK');
      if (other === own || again !== own) return true;
    }
    return false;
  });
}

function borrow<T>(
  connections: Connections,
  work: (query: Query, reported: number | undefined, sentMs: number | undefined) => Promise<T>,
): Promise<T> {
  return connections.use((connection, resolve, reject) => {
    const query: Query = (text) =>
      new Promise((done, fail) => {
        connection.send([{ text, params: [] }], (end) => {
          if (end.error) fail(toDatabaseError(end));
          else done(end.results[0]?.[0] ?? {});
        });
      });
    work(query, connection.reportedProcess, connection.sentTimeoutMs).then(
      (result) => {
        connection.release();
        resolve(result);
      },
      (error) => {
        connection.release(true);
        reject(error);
      },
    );
  });
}

/** Returns the message of a pooler that has refused a parameter when a connection was opened. */
function refusedParameter(error: unknown): string | undefined {
  if (!(error instanceof DatabaseUnavailableError) || !(error.cause instanceof Error)) return undefined;
  const { message } = error.cause;
  const code = 'code' in error.cause ? error.cause.code : undefined;
  if (code !== '08P01' && code !== '0A000') return undefined;
  return /startup parameter|_timeout\b/i.test(message) ? message : undefined;
}
