import type { Pool, PoolClient } from 'pg';
import { DatabaseUnavailableError } from '../errors.js';

/** Takes a client out of the pool. @throws DatabaseUnavailableError */
export async function checkOut(pool: Pool): Promise<PoolClient> {
  try {
    const client = await pool.connect();
    // The pool listens only to the clients that it holds; the error also fails the running query.
    client.on('error', ignore);
    return client;
  } catch (error) {
    throw new DatabaseUnavailableError(`no connection to the database: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** @param destroy whether the client's state is in any doubt, so that nobody should use it again */
export function giveBack(client: PoolClient, destroy: boolean): void {
  client.removeListener('error', ignore);
  client.release(destroy);
}

function ignore(): void {}
