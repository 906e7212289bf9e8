import { Metadata, type MethodDefinition, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type QuotaOptions,
  type ReplayGuard,
  scopeFromMetadata,
  singleTenant,
} from 'grpc-replay-guard';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import type { Reply } from '../../helpers/calls/call.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { feed, WATCH } from '../../helpers/servers/feed.js';
import {
  type Ledger,
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

type FullServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

const emptied = emptiedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const real = performance.now.bind(performance);
let ahead = 0;
/** Lets the counts of live keys grow old. */
const passSeconds = (seconds: number) => {
  ahead += seconds * 1_000;
  performance.now = () => real() + ahead;
};
test.afterEach.always(() => {
  performance.now = real;
  ahead = 0;
});

function assertExceeded(t: ExecutionContext, reply: Reply<unknown>, quota: string, limit: number) {
  t.is(reply.code, status.RESOURCE_EXHAUSTED, reply.details);
  t.deepEqual(reply.statusDetails?.types, ['ErrorInfo']);
  t.deepEqual(reply.statusDetails?.errorInfo, {
    reason: 'IDEMPOTENCY_QUOTA_EXCEEDED',
    domain: 'grpc-replay-guard',
    metadata: { quota, limit: String(limit) },
  });
  t.deepEqual(reply.trailers.get('grpc-retry-pushback-ms'), []);
}

/** A ledger whose callers say themselves who they are, and what a caller asks it for. */
async function open(
  t: ExecutionContext,
  source: Parameters<typeof openLedger>[1],
  quotas: QuotaOptions,
  setup: LedgerSetup = {},
) {
  const ledger = await openLedger(t, source, {
    ...setup,
    guard: { scope: scopeFromMetadata('x-tenant'), quotas, ...setup.guard },
  });
  const as =
    (tenant: string) =>
    (method: (typeof methods)[number], key: string, account = tenant) =>
      ledger.ask(method, key, account, { metadata: { 'x-tenant': tenant } });
  return { ledger, as };
}

const recordCount = async ({ database }: Ledger) =>
  (await database.query('SELECT state FROM replay_guard_records')).length;

for (const engine of engines) {
  test.serial(
    `${engine}: a scope with too many live keys gets no new one, before anything is written`,
    async (t) => {
      const { ledger, as } = await open(t, await emptied(t, engine), { liveKeysPerScope: 3 });
      const [alice, bob] = [as('alice'), as('bob')];
      for (const key of ['one', 'two', 'three']) t.is((await alice('append', key)).code, status.OK);
      for (const method of methods) assertExceeded(t, await alice(method, 'four'), 'live_keys', 3);
      t.is(await recordCount(ledger), 3);
      t.is(ledger.entered, 3, 'no handler was entered');
      t.like(await alice('append', 'one'), { code: status.OK, replayed: true });
      t.is((await alice('append', 'one', 'another payload')).code, status.FAILED_PRECONDITION);
      t.is((await bob('append', 'four')).code, status.OK, 'another scope has its own');

      // What was erased is the scope's no more; the count finds out when it is due.
      t.is(await ledger.guard.eraseScope('alice'), 3);
      assertExceeded(t, await alice('append', 'five'), 'live_keys', 3);
      passSeconds(6);
      await poll('the count is new', async () => (await alice('append', 'six')).code === status.OK);
      t.is(
        ledger.outcomes.count('refused') + ledger.outcomes.count('executed'),
        ledger.outcomes.ended.length - 2,
      );
    },
  );

  test.serial(`${engine}: in a storm no scope has more in its handlers than it may`, async (t) => {
    const barrier = new Barrier();
    let running = 0;
    let most = 0;
    const { ledger, as } = await open(...([t, await emptied(t, engine), { inFlightPerScope: 2 }] as const), {
      engine: { unitLimitMs: 60_000 },
      handlers: (database) =>
        onBoth(async (account, callback) => {
          most = Math.max(most, ++running);
          if (account === 'held') await barrier.pass();
          else await database.transaction(() => writeEffect(database, account));
          running--;
          callback(null, {});
        }),
    });
    const [alice, bob] = [as('alice'), as('bob')];
    t.is((await alice('transfer', 'before')).code, status.OK);
    // LEASE, so that on SQLite two can run at once.
    const held = ['one', 'two'].map((key) => alice('transfer', key, 'held'));
    await barrier.reached(2);
    const storm = await Promise.all(Array.from({ length: 40 }, (_, i) => alice('transfer', `storm-${i}`)));
    for (const reply of storm) assertExceeded(t, reply, 'in_flight', 2);
    t.is(most, 2);
    t.is(await recordCount(ledger), 3);
    t.like(await alice('transfer', 'before'), { code: status.OK, replayed: true });
    t.like(await bob('transfer', 'one'), { code: status.OK, replayed: false });
    barrier.open();
    for (const reply of await Promise.all(held)) t.is(reply.code, status.OK);
    t.like(await alice('transfer', 'storm-0'), { code: status.OK, replayed: false });
  });
}

test.serial('of a burst as many are served at once as may be, and never more', async (t) => {
  const barrier = new Barrier();
  let [running, most] = [0, 0];
  const { as, ledger } = await open(
    t,
    'memory',
    { inFlightPerScope: 5 },
    {
      handlers: () =>
        onBoth(async (_account, callback) => {
          most = Math.max(most, ++running);
          await barrier.pass();
          running--;
          callback(null, {});
        }),
    },
  );
  const burst = Array.from({ length: 100 }, (_, i) => as('alice')('append', `key-${i}`));
  await barrier.reached(5);
  await poll('the rest was refused', () => ledger.outcomes.count('refused') === 95);
  barrier.open();
  const codes = (await Promise.all(burst)).map(({ code }) => code);
  t.is(codes.filter((code) => code === status.OK).length, 5);
  t.is(most, 5);
});

test.serial('duplicates that wait take no place in flight', async (t) => {
  const barrier = new Barrier();
  const scoped = new Barrier();
  scoped.open();
  const { ledger } = await open(
    t,
    'memory',
    { inFlightPerScope: 2 },
    {
      guard: { scope: () => scoped.pass().then(() => 'alice') },
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    },
  );
  const first = ledger.append('key');
  await barrier.reached();
  const duplicates = Array.from({ length: 5 }, () => ledger.append('key'));
  await scoped.reached(6);
  const second = ledger.append('other');
  await barrier.reached(2);
  barrier.open();
  for (const reply of await Promise.all([first, second, ...duplicates])) t.is(reply.code, status.OK);
});

for (const ending of ['fails', 'throws'] as const) {
  test.serial(
    `a call that ${ending} gives its place back at once, and its key with the next count`,
    async (t) => {
      const quotas = { inFlightPerScope: 1, liveKeysPerScope: 1 };
      const { ledger, as } = await open(t, 'memory', quotas, {
        handlers: () =>
          onBoth((account, callback) => {
            if (account === 'throws') throw new Error('on purpose');
            if (account === 'fails') callback({ code: status.ABORTED });
            else callback(null, {});
          }),
      });
      await as('alice')('append', 'key', ending);
      assertExceeded(t, await as('alice')('append', 'other'), 'live_keys', 1);
      passSeconds(6);
      await poll('the key is free', async () => (await as('alice')('append', 'other')).code === status.OK);
      t.is(await ledger.store.estimateRecords(), 1);
    },
  );
}

/** Counts how often it is asked for the keys of a scope, and can be told to wait or to fail. */
class CountedStore extends PassingStore {
  counts = 0;
  failure: Error | undefined;
  gate: Barrier | undefined;
  override async countLive(scope: string, atMost: number) {
    this.counts++;
    await this.gate?.pass();
    if (this.failure) throw this.failure;
    return super.countLive(scope, atMost);
  }
}

async function counted(t: ExecutionContext) {
  const store = new CountedStore(new MemoryStore());
  const opened = { store } as unknown as OpenStore;
  return { store, ...(await open(t, 'memory', { liveKeysPerScope: 1_000 }, { opened })) };
}

test.serial('a scope is counted once in five seconds, however many calls there are', async (t) => {
  const { store, ledger, as } = await counted(t);
  const round = (name: string) =>
    Promise.all(Array.from({ length: 50 }, (_, i) => as(i % 2 ? 'alice' : 'bob')('append', `${name}-${i}`)));
  await round('first');
  t.is(store.counts, 2);
  t.is(ledger.outcomes.did('count'), 2);
  await round('second');
  t.is(store.counts, 2);
  passSeconds(6);
  await round('third');
  t.is(store.counts, 4);
  t.is(ledger.outcomes.count('executed'), 150);
});

test.serial(
  'a later count goes on beside the calls, and one that fails is not repeated at once',
  async (t) => {
    const { store, as } = await counted(t);
    await as('alice')('append', 'first');
    store.gate = new Barrier();
    store.failure = new DatabaseUnavailableError('on purpose');
    passSeconds(6);
    // Answered, though the count is not.
    t.is((await as('alice')('append', 'second')).code, status.OK);
    store.gate.open();
    for (let i = 0; i < 10; i++) t.is((await as('alice')('append', `key-${i}`)).code, status.OK);
    t.is(store.counts, 2);
  },
);

test.serial('a first count that fails lets nobody in, and is asked for again', async (t) => {
  const { store, ledger, as } = await counted(t);
  store.failure = new DatabaseUnavailableError('on purpose');
  t.is(
    (await as('alice')('append', 'key')).statusDetails?.errorInfo?.reason,
    'IDEMPOTENCY_STORE_UNAVAILABLE',
  );
  t.is(ledger.entered, 0);
  store.failure = undefined;
  t.is((await as('alice')('append', 'key')).code, status.OK);
});

test.serial('so many scopes are remembered and no more', async (t) => {
  const scopes = 10_000;
  const store = new CountedStore(new MemoryStore());
  const guard = createReplayGuard({
    ...{ store, scope: scopeFromMetadata('x-tenant'), quotas: { liveKeysPerScope: 5 } },
  });
  t.teardown(() => guard.close());
  guard.protect(feed);
  const askAs = async (tenant: number) => t.is(await served(guard, `tenant-${tenant}`), status.OK);
  for (let tenant = 0; tenant <= scopes; tenant++) await askAs(tenant);
  t.is(store.counts, scopes + 1);
  await askAs(scopes);
  t.is(store.counts, scopes + 1, 'it is remembered');
  await askAs(0);
  t.is(store.counts, scopes + 2, 'it was forgotten');
});

/** Takes one call past the interceptor without a socket, for tests of very many; resolves to its status. */
function served({ interceptor }: ReplayGuard, tenant: string): Promise<status> {
  const metadata = new Metadata();
  metadata.set('x-tenant', tenant);
  metadata.set('idempotency-key', 'key');
  return new Promise((resolve) => {
    const arrive = (listener: FullServerListener) => {
      listener.onReceiveMetadata(metadata);
      listener.onReceiveMessage({ account: 'a' });
      listener.onReceiveHalfClose();
    };
    const wire = {
      ...{ start: arrive, sendMetadata() {}, sendMessage: (_message: unknown, sent: () => void) => sent() },
      ...{ sendStatus: ({ code }: { code: status }) => resolve(code), getAuthContext: () => ({}) },
      getDeadline: () => Number.POSITIVE_INFINITY,
    } as unknown as ServerInterceptingCallInterface;
    const { requestDeserialize, responseSerialize } = feed.Watch as MethodDefinition<unknown, unknown>;
    const streams = { requestStream: false, responseStream: true };
    const call = interceptor({ path: WATCH, ...streams, requestDeserialize, responseSerialize }, wire);
    call.start({
      ...{ onReceiveMetadata() {}, onReceiveMessage() {}, onCancel() {} },
      onReceiveHalfClose: () => call.sendStatus({ code: status.OK, details: '' }),
    });
  });
}

test('a limit must be a whole number of at least 1', (t) => {
  const made = (quotas: object) =>
    createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), quotas });
  for (const name of ['inFlightPerScope', 'liveKeysPerScope'])
    for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5', null])
      t.throws(() => made({ [name]: limit }), { instanceOf: TypeError, message: new RegExp(name) });
});

test('duplicates over all keys are bounded, those of another payload too', async (t) => {
  const [barrier, scoped, claimed] = [new Barrier(), new Barrier(), new Barrier()];
  scoped.open();
  class SlowStore extends PassingStore {
    override async claim(request: never) {
      await claimed.pass();
      return super.claim(request);
    }
  }
  const ledger = await openLedger(t, 'memory', {
    opened: { store: new SlowStore(new MemoryStore()) } as unknown as OpenStore,
    guard: {
      ...{ waiters: 3, waitersPerKey: 2, scope: () => scoped.pass().then(() => 'alice') },
      policies: Object.fromEntries(paths.map((path) => [path, { waitMs: 1_000_000, leaseMs: 60_000 }])),
    },
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
  });
  const firsts = ['one', 'two'].map((key) => ledger.append(key));
  await claimed.reached(2);
  const waiting = [ledger.append('one'), ledger.append('one', { account: 'another payload' })];
  await scoped.reached(4);
  const inProgress = async (call: Promise<Reply<unknown>>) =>
    t.is((await call).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_IN_PROGRESS');
  await inProgress(ledger.append('one'));
  waiting.push(ledger.append('two'));
  await scoped.reached(6);
  await inProgress(ledger.append('two'));
  claimed.open();
  barrier.open();
  const codes = (await Promise.all([...firsts, ...waiting])).map(({ code }) => code);
  t.deepEqual(codes, [status.OK, status.OK, status.OK, status.FAILED_PRECONDITION, status.OK]);
  t.is(ledger.outcomes.count('joined'), 2);
});
