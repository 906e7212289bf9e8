import type { ExecutionContext } from 'ava';
import { openPostgres } from 'grpc-replay-guard/postgres';
import pg, { type PoolConfig } from 'pg';
import { claimed, reply, request } from '../contracts/store/requests.js';
import { scopeDigest } from '../helpers/stores/scope-digest.js';

/**
 * Executes one guarded unit of work that writes to `table` through a connection that reports the commands to the
 * nodes. Resolves to the commands that end the transaction on the nodes.
 */
export async function endings(t: ExecutionContext, url: string, table: string): Promise<string[]> {
  const logging = '-c citus.log_remote_commands=on -c client_min_messages=notice';
  const config = { connectionString: url, max: 1, pipeline: true, options: logging };
  const pool = new pg.Pool(config as PoolConfig);
  t.teardown(() => pool.end());
  const commands: string[] = [];
  pool.on('connect', (client) => {
    client.on('notice', ({ message = '' }) => commands.push(message.replace(/^issuing /, '')));
  });
  const { store, database } = await openPostgres({ pool });
  const claim = claimed(t, await store.claim(request({ atomicity: 'TRANSACTION' })));
  await claim.run(() =>
    database.query(`INSERT INTO ${table} (scope, text) VALUES ($1, 'done')`, [BigInt(scopeDigest('tenant'))]),
  );
  commands.length = 0;
  await claim.complete(reply('done'));
  return commands.flatMap((text) => /^(PREPARE TRANSACTION|COMMIT PREPARED|COMMIT)/.exec(text)?.[0] ?? []);
}
