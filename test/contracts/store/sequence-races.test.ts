import { createHash, randomUUID } from 'node:crypto';
import test from 'ava';
import pg from 'pg';
import { administer } from '../../helpers/databases/administer.js';
import { administerNodes, isCitus } from '../../helpers/databases/citus.js';
import { freshData } from '../../helpers/databases/engines.js';
import { isPooled } from '../../helpers/databases/postgres.js';
import { poll } from '../../helpers/waiting/poll.js';
import { claimed, reply, request } from './requests.js';

const longTimeouts = { lockTimeoutMs: 60_000, unitLimitMs: 60_000, maxConnections: 2 };

const END_IDLE_SESSIONS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND state = 'idle'`;

for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
  test.serial(
    `postgres, ${atomicity}: a claim succeeds if the previous sequence completes while the claim runs`,
    async (t) => {
      const data = await freshData(t, 'postgres');
      const { store } = await data.open(longTimeouts);
      const id = createHash('sha256').update(randomUUID()).digest();
      const at = (sequence: bigint) => request({ series: { id, epoch: 0n, sequence } });
      await claimed(t, await store.claim(at(0n))).complete(reply('zero'));
      const leaseMs = atomicity === 'LEASE' ? 1 : 60_000;
      const executing = claimed(t, await store.claim({ ...at(1n), atomicity, leaseMs }));

      // Citus refuses a volatile function in an UPDATE. It reads the clock before it sends the statement to a node.
      const volatility = (await isCitus()) ? 'STABLE' : 'VOLATILE';
      // A statement of a new connection takes its snapshot, then waits at the gate when it reads the clock.
      await administerNodes(
        data.url,
        `CREATE FUNCTION statement_timestamp() RETURNS TIMESTAMPTZ ${volatility} LANGUAGE PLPGSQL AS $$ BEGIN
         PERFORM pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7);
         RETURN clock_timestamp();
       END $$`,
      );
      const name = new URL(data.url).pathname.slice(1);
      await administerNodes(data.url, `ALTER DATABASE ${name} SET search_path = public, pg_catalog`);
      // A pooler gives a new connection a session that exists.
      if (isPooled()) await administer(data.url, END_IDLE_SESSIONS);
      const gate = new pg.Client({ connectionString: data.url });
      await gate.connect();
      t.teardown(() => gate.end());
      const { store: other } = await data.open(longTimeouts);
      await gate.query('SELECT pg_advisory_lock(7)');
      const claiming = other.claim(at(2n));
      const waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
      await poll('the claim waits at the gate', async () => (await gate.query(waiting)).rows.length > 0);
      await executing.complete(reply('one'));
      await gate.query('SELECT pg_advisory_unlock(7)');
      const result = await claiming;
      t.is(result.outcome, 'claimed');
      await claimed(t, result).complete(reply('two'));
    },
  );
}
