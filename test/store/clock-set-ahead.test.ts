import { mock } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { openReceiver, RecordingObserver } from '../consumer/receiver.js';
import { claimed, completed, reply, request } from '../contracts/store/requests.js';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import { freshData } from '../helpers/databases/engines.js';
import { append, notebook, openOutbox, relayTo, states } from '../helpers/databases/outbox.js';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

const day = 86_400_000;
const trueNow = Date.now;
const trueSteady = performance.now.bind(performance);

/** The time of this host, until the end of the test. */
function controlTime(t: ExecutionContext) {
  let [setMs, passedMs] = [0, 0];
  Date.now = () => trueNow() + setMs + passedMs;
  performance.now = () => trueSteady() + passedMs;
  t.teardown(() => {
    Date.now = trueNow;
    performance.now = trueSteady;
  });
  return {
    /** Sets the clock ahead, or back if `ms` is negative. */
    set: (ms: number) => {
      setMs += ms;
    },
    passes: (ms: number) => {
      passedMs += ms;
    },
  };
}

const expiryOf = ({ trailers }: { trailers: Metadata }) => trailers.get('idempotency-expires-at');

for (const engine of ['sqlite', 'memory'] as const) {
  test.serial(`${engine}: a clock that is two days ahead expires no key`, async (t) => {
    const { set, passes } = controlTime(t);
    const source = engine === 'memory' ? engine : await freshData(t, engine);
    const policies = { '/test.v1.LedgerService/Append': { waitMs: 0 } };
    const ledger = await openLedger(t, source, { guard: { policies } });
    const first = await ledger.append('key', { account: 'a' });
    t.is(first.code, status.OK);
    set(2 * day);
    t.is((await ledger.store.purge(10)).purged, 0);
    const replay = await ledger.append('key', { account: 'a' });
    t.true(replay.replayed);
    t.deepEqual(expiryOf(replay), expiryOf(first));
    t.like(await ledger.append('new'), { code: status.OK });

    // By the wrong clock this call is older than the retention. The refusal is not definite.
    const metadata = new Metadata();
    metadata.set('idempotency-first-sent', new Date(trueNow()).toISOString());
    const refused = await ledger.append('dated', {}, { metadata });
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');

    set(-2 * day);
    for (const key of ['key', 'new'])
      t.like(await ledger.append(key, key === 'key' ? { account: 'a' } : {}), { replayed: true });
    t.like(await ledger.append('dated', {}, { metadata }), { code: status.OK, replayed: false });
    t.is(ledger.entered, 3);

    passes(day);
    t.is((await ledger.store.purge(10)).purged, 2, 'the key of the wrong time is kept two days longer');
    passes(2 * day);
    t.is((await ledger.store.purge(10)).purged, 1);
  });
}

test.serial('sqlite: a server that starts while the clock is two days ahead expires no key', async (t) => {
  const { set, passes } = controlTime(t);
  const data = await freshData(t, 'sqlite');
  const { store, close } = await data.open();
  const key = request({ retentionMs: day });
  await claimed(t, await store.claim(key)).complete(reply('done'));
  const series = request({ retentionMs: day, series: { id: request().id, epoch: 0n, sequence: 1n } });
  await claimed(t, await store.claim(series)).complete(reply('one'));
  await close();
  passes(day / 2);
  set(2 * day);
  const { store: restarted } = await data.open();
  t.is((await restarted.purge(10)).purged, 0);
  completed(t, await restarted.claim(key));
  completed(t, await restarted.claim(series));
  passes(day / 2);
  t.is(
    (await restarted.purge(10)).purged,
    2,
    'half a day without a server counts, because the host was running',
  );
});

test.serial(
  'sqlite: the mark of the retention clock is updated with a commit, at most once a minute',
  async (t) => {
    const { passes } = controlTime(t);
    const { store, database } = await (await freshData(t, 'sqlite')).open();
    const time = async () => (await database.query('SELECT time FROM replay_guard_clock'))[0]?.time as bigint;
    const begun = await time();
    const complete = async () => claimed(t, await store.claim(request())).complete(reply('done'));
    await complete();
    t.is(await time(), begun);
    passes(60_000);
    await complete();
    const updated = await time();
    t.true(updated >= begun + 60_000n, `${updated - begun}`);
    passes(59_000);
    await complete();
    t.is(await time(), updated);
  },
);

test.serial('sqlite: while the clock is two days ahead, the consumer forgets no message', async (t) => {
  const { set, passes } = controlTime(t);
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  const observer = new RecordingObserver();
  const options = { observer, retentionMs: day };
  const receiver = await openReceiver(t, await freshData(t, 'sqlite'), { options });
  const purged = async (runs: number) => {
    mock.timers.tick(60_000);
    await poll('a run of the pruner', () => observer.purged.length === runs);
  };
  t.is(await receiver.deliver('message'), 'processed');
  set(2 * day);
  await purged(1);
  t.is(await receiver.deliver('message'), 'duplicate');
  set(-2 * day);
  passes(day);
  await purged(2);
  t.deepEqual(observer.purged, [0, 1]);
});

test.serial('sqlite: while the clock is two days ahead, no event of the outbox is purged', async (t) => {
  const { set, passes } = controlTime(t);
  const outbox = await openOutbox(await freshData(t, 'sqlite'));
  const { write } = notebook();
  const relay = relayTo(t, outbox, write, { retentionMs: day });
  await append(outbox, ['a', 1]);
  t.is(await relay.runOnce(), 1);
  set(2 * day);
  await relay.runMaintenance();
  t.is((await states(outbox.database)).length, 1);
  set(-2 * day);
  passes(day);
  await relay.runMaintenance();
  t.deepEqual(await states(outbox.database), []);
});
