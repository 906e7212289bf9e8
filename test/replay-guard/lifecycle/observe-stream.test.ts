import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../../helpers/databases/engines.js';
import { openFeed, WATCH, type WatchCall, watch } from '../../helpers/servers/feed.js';
import { RecordingObserver } from '../../helpers/servers/recording-observer.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);

async function storeOf(t: ExecutionContext, source: Engine | 'memory') {
  return source === 'memory' ? new MemoryStore() : (await (await emptied(t, source)).open()).store;
}

async function open(
  t: ExecutionContext,
  source: Engine | 'memory',
  handler: (call: WatchCall) => unknown,
  options: Partial<ReplayGuardOptions> = {},
) {
  const outcomes = new RecordingObserver();
  const store = await storeOf(t, source);
  const given = { store, scope: singleTenant(), observer: outcomes, mode: 'OBSERVE', ...options } as const;
  const guard = createReplayGuard(given);
  t.teardown(() => guard.close());
  return { guard, outcomes, connection: await openFeed(t, guard, handler) };
}

for (const source of ['memory', ...engines] as const) {
  test.serial(
    `${source}: the client gets messages while the handler streams, and ENFORCE replays them later`,
    async (t) => {
      const barrier = new Barrier();
      let entered = 0;
      const { guard, outcomes, connection } = await open(t, source, async (call) => {
        entered++;
        for (const text of ['one', '', 'two']) call.write(text);
        await barrier.pass();
        call.write('three');
        call.end();
      });
      const live = watch(connection, 'key');
      await live.arrived(3);
      t.deepEqual(live.texts, ['one', '', 'two']);
      barrier.open();
      t.is((await live.ended).code, status.OK);
      t.is(live.texts.length, 4);
      await poll('the record', () => outcomes.did('complete') === 1);
      const again = watch(connection, 'key');
      t.is((await again.ended).metadata.get('idempotent-replayed').length, 0);
      t.deepEqual([entered, outcomes.observed], [2, ['executed', 'replayed']] as never);
      guard.setModes({ methods: { [WATCH]: 'ENFORCE' } });
      const replayed = watch(connection, 'key');
      const { code, metadata } = await replayed.ended;
      t.is(code, status.OK);
      t.deepEqual(metadata.get('idempotent-replayed'), ['true']);
      t.deepEqual(replayed.texts, ['one', '', 'two', 'three']);
      t.is(entered, 2);
    },
  );
}

test.serial('a client that disconnects ends the handler, and no reply is stored', async (t) => {
  const cancelled = new Barrier();
  const { outcomes, connection } = await open(t, 'memory', (call) => {
    call.on('cancelled', () => void cancelled.pass());
    call.write('one');
  });
  const live = watch(connection, 'key');
  await live.arrived(1);
  live.cancel();
  await cancelled.reached();
  t.is((await live.ended).code, status.CANCELLED);
  await poll('the key is free', () => outcomes.did('release') === 1);
  t.is(outcomes.did('complete'), 0);
});

test.serial('a stream above the size limit is sent completely and not stored', async (t) => {
  const { outcomes, connection } = await open(
    t,
    'memory',
    (call) => {
      for (let i = 0; i < 20; i++) call.write('x'.repeat(10));
      call.end();
    },
    { policies: { [WATCH]: { maxReplyBytes: 50 } } },
  );
  const live = watch(connection, 'key');
  t.is((await live.ended).code, status.OK);
  t.is(live.texts.length, 20);
  await poll('the key is free', () => outcomes.did('release') === 1);
});

test.serial('a stream that fails sends its messages and its status, and is not stored', async (t) => {
  const { outcomes, connection } = await open(t, 'memory', (call) => {
    call.write('one');
    call.emit('error', { code: status.ABORTED, details: 'half-way' });
  });
  const live = watch(connection, 'key');
  const { code, details } = await live.ended;
  t.deepEqual([code, details, live.texts], [status.ABORTED, 'half-way', ['one']] as never);
  await poll('the key is free', () => outcomes.did('release') === 1);
});
