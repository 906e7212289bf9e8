import type { Pool, PoolClient } from 'pg';
import { DatabaseUnavailableError } from '../errors.js';

/** The clients that were seen to lose their connection while they were checked out. */
const severed = new WeakSet<PoolClient>();

/** Takes a client out of the pool. @throws DatabaseUnavailableError */
export async function checkOut(pool: Pool): Promise<PoolClient> {
  try {
    const client = await pool.connect();
    // The pool listens only to the clients that it holds; the error also fails the running query.
    client.on('error', notice);
    return client;
  } catch (error) {
    throw new DatabaseUnavailableError(`no connection to the database: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @param destroy whether the client's state is in any doubt, so that nobody should use it again */
export function giveBack(client: PoolClient, destroy: boolean): void {
  client.removeListener('error', notice);
  client.release(destroy);
}

/** Whether the client has no connection any more, so that nothing that it is given is sent. */
export function isSevered(client: PoolClient): boolean {
  return severed.has(client);
}

function notice(this: PoolClient): void {
  severed.add(this);
}
