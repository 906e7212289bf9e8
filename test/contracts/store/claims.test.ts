import { createHash, randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { LeaseLostError, UnitOfWorkError } from 'grpc-replay-guard/database';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import { type EngineOptions, engines, freshData } from '../../helpers/databases/engines.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const table = ['CREATE TABLE notes (id BIGINT PRIMARY KEY)'];
const insert = 'INSERT INTO notes (id) VALUES ($1)';
const reply = Buffer.from('done');

function request(atomicity: ClaimRequest['atomicity'], leaseMs = 30_000): ClaimRequest {
  const bytes = () => createHash('sha256').update(randomUUID()).digest();
  return { id: bytes(), scope: 'tenant', fingerprint: bytes(), atomicity, leaseMs, retentionMs: 3_600_000 };
}

async function claim({ store }: OpenStore, operation: ClaimRequest): Promise<Claim> {
  const result = await store.claim(operation);
  if (result.outcome !== 'claimed') throw new Error(`expected a claim, got ${result.outcome}`);
  return result.claim;
}

async function ids({ database }: OpenStore): Promise<bigint[]> {
  return (await database.query<{ id: bigint }>('SELECT id FROM notes ORDER BY id')).map(({ id }) => id);
}

// The contract between a claim and the handler's writes, on every database.
for (const engine of engines) {
  const it = (
    title: string,
    check: (t: ExecutionContext, opened: OpenStore, other: OpenStore) => Promise<void>,
    options: EngineOptions = { unitLimitMs: 60_000 },
  ) =>
    test.serial(`${engine}: ${title}`, async (t) => {
      const data = await freshData(t, engine);
      const opened = await data.open(options);
      await opened.database.migrate('notes', table);
      await check(t, opened, await data.open(options));
    });

  for (const atomicity of ['TRANSACTION', 'LEASE'] as const) {
    const write = (opened: OpenStore, claimed: Claim, id: number) =>
      claimed.run(() => opened.database.query(insert, [id]));

    it(`${atomicity}: the writes commit together with the reply`, async (t, opened, other) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await write(opened, claimed, 1);
      await claimed.run(() => opened.database.transaction(() => opened.database.query(insert, [2])));
      t.deepEqual(await claimed.run(() => ids(opened)), [1n, 2n]);
      t.deepEqual(await ids(opened), []);
      t.deepEqual(await ids(other), []);
      await claimed.complete(reply);
      t.deepEqual(await ids(other), [1n, 2n]);
      t.is((await other.store.claim(operation)).outcome, 'completed');
    });

    it(`${atomicity}: a failure stores its reply and rolls back its writes`, async (t, opened, other) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await write(opened, claimed, 1);
      await claimed.fail(reply);
      t.deepEqual(await ids(other), []);
      const found = await other.store.claim(operation);
      t.deepEqual(found.outcome === 'completed' && found.reply, reply);
    });

    it(`${atomicity}: a failure is stored after a failed statement`, async (t, opened, other) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await write(opened, claimed, 1);
      await t.throwsAsync(write(opened, claimed, 1), { any: true });
      await claimed.fail(reply);
      t.deepEqual(await ids(other), []);
      t.is((await other.store.claim(operation)).outcome, 'completed');
    });

    it(`${atomicity}: a failure inside a nested transaction leaves no writes`, async (t, opened, other) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      const { database } = opened;
      const nested = claimed.run(() =>
        database.transaction(async () => {
          await database.query(insert, [1]);
          throw new Error('refused');
        }),
      );
      await t.throwsAsync(nested, { message: 'refused' });
      await claimed.fail(reply);
      t.deepEqual(await ids(other), []);
      t.is((await other.store.claim(operation)).outcome, 'completed');
    });

    it(`${atomicity}: a release leaves neither writes nor record`, async (t, opened) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await write(opened, claimed, 1);
      await claimed.release();
      t.deepEqual(await ids(opened), []);
      await (await claim(opened, operation)).release();
    });

    it(`${atomicity}: a claim cannot complete after a failed statement`, async (t, opened) => {
      const operation = request(atomicity);
      const claimed = await claim(opened, operation);
      await write(opened, claimed, 1);
      await t.throwsAsync(write(opened, claimed, 1), { any: true });
      await t.throwsAsync(claimed.complete(reply), { instanceOf: UnitOfWorkError });
      await claimed.release();
      t.deepEqual(await ids(opened), []);
      await (await claim(opened, operation)).release();
    });

    for (const ending of ['complete', 'fail', 'release'] as const) {
      it(`${atomicity}: a write after ${ending} is refused`, async (t, opened) => {
        const claimed = await claim(opened, request(atomicity));
        const gate = new Barrier();
        const late = claimed.run(() => gate.pass().then(() => opened.database.query(insert, [1])));
        await claimed[ending](reply);
        gate.open();
        await t.throwsAsync(late, { instanceOf: UnitOfWorkError });
        await t.throwsAsync(write(opened, claimed, 2), { instanceOf: UnitOfWorkError });
        t.deepEqual(await ids(opened), []);
      });
    }

    it(`${atomicity}: simultaneous claims have separate writes`, async (t, opened, other) => {
      const execute = async (id: number) => {
        const claimed = await claim(opened, request(atomicity));
        await write(opened, claimed, id);
        await write(opened, claimed, id + 100);
        await (id % 2 ? claimed.complete(reply) : claimed.fail(reply));
      };
      await Promise.all(Array.from({ length: 20 }, (_, index) => execute(index)));
      const odd = Array.from({ length: 10 }, (_, index) => BigInt(2 * index + 1));
      t.deepEqual(await ids(other), [...odd, ...odd.map((id) => id + 100n)]);
    });

    it(
      `${atomicity}: a claim that exceeds the time limit of its transaction is lost`,
      async (t, opened) => {
        const operation = request(atomicity);
        const claimed = await claim(opened, operation);
        await write(opened, claimed, 1);
        await poll('the claim is lost', () => claimed.lost.aborted);
        t.true(claimed.lost.reason instanceof UnitOfWorkError);
        await t.throwsAsync(write(opened, claimed, 2), { instanceOf: UnitOfWorkError });
        await t.throwsAsync(claimed.complete(reply), { instanceOf: UnitOfWorkError });
        await claimed.release();
        t.deepEqual(await ids(opened), []);
        await (await claim(opened, operation)).release();
      },
      { unitLimitMs: 100 },
    );
  }

  it('LEASE: an execution that was taken over before its first write cannot write', async (t, opened, other) => {
    const operation = request('LEASE', 1);
    const earlierOwner = await claim(opened, operation);
    let owner: Claim | undefined;
    await poll('the takeover', async () => {
      const result = await other.store.claim({ ...operation, leaseMs: 30_000 });
      owner = result.outcome === 'claimed' ? result.claim : undefined;
      return owner !== undefined;
    });
    const write = earlierOwner.run(() => opened.database.query(insert, [1]));
    await t.throwsAsync(write, { instanceOf: LeaseLostError });
    await t.throwsAsync(earlierOwner.complete(reply));
    await earlierOwner.release();
    t.deepEqual(await ids(opened), []);
    await owner?.run(() => other.database.query(insert, [2]));
    await owner?.complete(reply);
    t.deepEqual(await ids(opened), [2n]);
  });

  it('LEASE: an execution that has started to write cannot be taken over', async (t, opened, other) => {
    const operation = request('LEASE', 1);
    const late = await claim(opened, operation);
    await late.run(() => opened.database.query(insert, [1]));
    t.is((await other.store.claim(operation)).outcome, 'in-progress');
    await late.complete(reply);
    t.deepEqual(await ids(other), [1n]);
    t.is((await other.store.claim(operation)).outcome, 'completed');
  });
}
