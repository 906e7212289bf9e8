import { createHash, randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import { engines, openEngine } from '../../helpers/databases/engines.js';

const insert = 'INSERT INTO notes (id) VALUES ($1)';
const reply = Buffer.from('done');
const bytes = () => createHash('sha256').update(randomUUID()).digest();

async function claim({ store }: OpenStore, atomicity: ClaimRequest['atomicity']): Promise<Claim> {
  const operation = {
    id: bytes(),
    scope: 'tenant',
    fingerprint: bytes(),
    atomicity,
    leaseMs: 30_000,
    retentionMs: 3_600_000,
  };
  const result = await store.claim(operation);
  if (result.outcome !== 'claimed') throw new Error(result.outcome);
  return result.claim;
}

async function ids({ database }: OpenStore): Promise<unknown[]> {
  return (await database.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => id);
}

// A unit of work stays atomic even if its handler does not await the statements.
for (const engine of engines) {
  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const it = (
      title: string,
      check: (t: ExecutionContext, opened: OpenStore, claimed: Claim) => Promise<void>,
      unitLimitMs = 60_000,
    ) =>
      test(`${engine}, ${atomicity}: ${title}`, async (t) => {
        const opened = await openEngine(t, engine, { unitLimitMs });
        await opened.database.migrate('notes', ['CREATE TABLE notes (id BIGINT PRIMARY KEY)']);
        await check(t, opened, await claim(opened, atomicity));
      });

    it('a failure rolls back a write and a transaction that started at the same time', async (t, opened, claimed) => {
      const { database } = opened;
      await claimed.run(() =>
        Promise.all([database.query(insert, [1]), database.transaction(() => database.query(insert, [2]))]),
      );
      await claimed.fail(reply);
      t.deepEqual(await ids(opened), []);
    });

    it('a write that the handler does not await commits with the reply', async (t, opened, claimed) => {
      const sent = claimed.run(() => opened.database.query(insert, [1]));
      await claimed.complete(reply);
      await sent;
      t.deepEqual(await ids(opened), [1n]);
    });

    it('a failed write that the handler does not await prevents the commit', async (t, opened, claimed) => {
      await claimed.run(() => opened.database.query(insert, [1]));
      const failing = claimed.run(() => opened.database.query(insert, [1])).catch(() => {});
      await t.throwsAsync(claimed.complete(reply));
      await failing;
      await claimed.release();
      t.deepEqual(await ids(opened), []);
    });

    it(
      'a transaction that never ends delays the commit only up to the time limit',
      async (t, opened, claimed) => {
        const { database } = opened;
        const stuck = claimed.run(() =>
          database.transaction(async () => {
            await database.query(insert, [1]);
            await new Promise(() => {});
          }),
        );
        stuck.catch(() => {});
        await t.throwsAsync(claimed.complete(reply));
        t.true(claimed.lost.aborted);
        await claimed.release();
        t.deepEqual(await ids(opened), []);
      },
      200,
    );
  }
}
