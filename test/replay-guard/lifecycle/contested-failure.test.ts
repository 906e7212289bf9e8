import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { CommitInDoubtError } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { Claim, ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { type Engine, engines } from '../../helpers/databases/engines.js';
import { sharedData } from '../../helpers/databases/shared-data.js';
import { type LedgerSetup, onBoth, openLedger, writeEffect } from '../../helpers/servers/guarded-ledger.js';
import { ContestedStore } from '../../helpers/stores/contested-store.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const shared = sharedData(test);
const path = '/test.v1.LedgerService/Append';

/**
 * Two servers on one database. The handler of the first server writes, then fails with NOT_FOUND, which is stored. Its
 * store pauses after the rollback. The handler of the second server succeeds, after it has passed `running`.
 */
async function twoServers(t: ExecutionContext, engine: Engine, waitMs = 0) {
  const data = await shared(t, engine);
  const name = randomUUID();
  const running = new Barrier();
  const opened = await data.open({ maxConnections: 6 });
  const store = new ContestedStore(opened.store);
  const guard = { scope: () => name, policies: { [path]: { waitMs, leaseMs: 60_000 } } };
  const serve = (setup: LedgerSetup) => openLedger(t, data, { ...setup, guard });
  const failing = await serve({
    opened: { ...opened, store },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        await writeEffect(database, `${name} failed ${account}`);
        callback({ code: status.NOT_FOUND, details: 'no such account' });
      }),
  });
  const other = await serve({
    handlers: (database) =>
      onBoth(async (_account, callback) => {
        await writeEffect(database, name);
        await running.pass();
        callback(null, { entryId: randomUUID() });
      }),
  });
  t.teardown(() => {
    running.open();
    store.rolledBack.open();
  });
  /** The effects of this test, in the database that all tests of the engine share. */
  const effects = async () => (await other.effects()).filter((account) => account.startsWith(name));
  return { failing, other, running, rolledBack: store.rolledBack, name, effects };
}

for (const engine of engines) {
  test(`${engine}: a failure whose key no other server takes is stored and replayed`, async (t) => {
    const { failing, other, rolledBack, effects } = await twoServers(t, engine);
    rolledBack.open();
    const first = await failing.append('key');
    t.like(first, { code: status.NOT_FOUND, replayed: false });
    t.like(await other.append('key'), { code: status.NOT_FOUND, details: first.details, replayed: true });
    t.deepEqual(await effects(), []);
    t.deepEqual(failing.outcomes.ended, ['executed']);
  });

  test(`${engine}: a failure whose key was executed by another server is answered with the stored reply`, async (t) => {
    const { failing, other, running, rolledBack, name, effects } = await twoServers(t, engine, 60_000);
    running.open();
    const failed = failing.append('key');
    await rolledBack.reached();
    const duplicate = failing.append('key');
    const executed = await other.append('key');
    t.like(executed, { code: status.OK, replayed: false });
    rolledBack.open();
    for (const reply of [await failed, await duplicate])
      t.like(reply, { code: status.OK, replayed: true, bytes: executed.bytes });
    t.deepEqual(await effects(), [name]);
    t.is(failing.outcomes.count('executed'), 0);
    t.is(failing.outcomes.ended[0], 'replayed');
  });

  test(`${engine}: a failure whose key another server executes is refused as in progress`, async (t) => {
    const { failing, other, running, rolledBack, name, effects } = await twoServers(t, engine);
    const failed = failing.append('key');
    await rolledBack.reached();
    const executing = other.append('key');
    await running.reached();
    rolledBack.open();
    assertRefused(t, await failed, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    running.open();
    const { code, bytes } = await executing;
    t.is(code, status.OK);
    await poll('the retry receives the reply', async () => (await failing.append('key')).replayed);
    t.like(await failing.append('key'), { replayed: true, bytes });
    t.deepEqual(await effects(), [name]);
    t.is(failing.entered, 1);
    t.is(failing.outcomes.ended[0], 'in_progress');
  });

  test(`${engine}: a failure whose key another server used for another request is refused as reused`, async (t) => {
    const { failing, other, running, rolledBack, name, effects } = await twoServers(t, engine);
    running.open();
    const failed = failing.append('key', { account: 'alice' });
    await rolledBack.reached();
    t.like(await other.append('key', { account: 'bob' }), { code: status.OK });
    rolledBack.open();
    assertRefused(t, await failed, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
    t.deepEqual(await effects(), [name]);
    t.deepEqual(failing.outcomes.ended, ['reused']);
  });
}

test('OBSERVE: a failure whose key another server took is sent and not stored', async (t) => {
  const memory = new MemoryStore();
  const store = new ContestedStore(memory);
  const failing = await openLedger(t, 'memory', {
    opened: { store } as unknown as OpenStore,
    guard: { mode: 'OBSERVE' },
    handlers: () => onBoth((_account, callback) => callback({ code: status.NOT_FOUND })),
  });
  const other = await openLedger(t, 'memory', { opened: { store: memory } as unknown as OpenStore });
  t.is((await failing.append('key')).code, status.NOT_FOUND);
  await store.rolledBack.reached();
  const { code, bytes } = await other.append('key');
  t.is(code, status.OK);
  store.rolledBack.open();
  await poll('the observed call has ended', () => failing.outcomes.did('release') === 1);
  t.like(await other.append('key'), { replayed: true, bytes });
});

/** A store whose commits roll back without an answer. During the pause another server can take the key. */
class LostCommits extends PassingStore {
  readonly rolledBack = new Barrier();

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (result.outcome !== 'claimed') return result;
    const { claim } = result;
    const complete = async () => {
      await claim.release();
      await this.rolledBack.pass();
      throw new CommitInDoubtError('the answer was lost');
    };
    const run: Claim['run'] = (work, onLost) => claim.run(work, onLost);
    return { ...result, claim: { ...claim, lost: claim.lost, run, complete } as Claim };
  }
}

test('a commit in doubt whose key another server used for another request is refused as reused', async (t) => {
  const memory = new MemoryStore();
  const store = new LostCommits(memory);
  const first = await openLedger(t, 'memory', { opened: { store } as unknown as OpenStore });
  const other = await openLedger(t, 'memory', { opened: { store: memory } as unknown as OpenStore });
  const inDoubt = first.append('key', { account: 'alice' });
  await store.rolledBack.reached();
  t.is((await other.append('key', { account: 'bob' })).code, status.OK);
  store.rolledBack.open();
  assertRefused(t, await inDoubt, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  t.deepEqual(first.outcomes.ended, ['reused']);
});
