import {
  Metadata,
  type MethodDefinition,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type QuotaOptions, scopeFromMetadata, singleTenant } from 'grpc-replay-guard';
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
/** Advances the monotonic clock, so that the counts of live keys become outdated. */
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

/** A ledger whose scope is a metadata entry, and a function that calls the ledger in a given scope. */
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
    `${engine}: a new key of a scope above its live-key quota is refused before any write`,
    async (t) => {
      const { ledger, as } = await open(t, await emptied(t, engine), { liveKeysPerScope: 3 });
      const [alice, bob] = [as('alice'), as('bob')];
      for (const key of ['one', 'two', 'three']) t.is((await alice('append', key)).code, status.OK);
      for (const method of methods) assertExceeded(t, await alice(method, 'four'), 'live_keys', 3);
      t.is(await recordCount(ledger), 3);
      t.is(ledger.entered, 3, 'no handler was entered');
      t.like(await alice('append', 'one'), { code: status.OK, replayed: true });
      t.is((await alice('append', 'one', 'another payload')).code, status.FAILED_PRECONDITION);
      t.is((await bob('append', 'four')).code, status.OK, 'another scope has its own quota');

      // Erased records do not count. The next count reflects the erasure.
      t.is((await ledger.guard.eraseScope('alice')).erased, 3);
      assertExceeded(t, await alice('append', 'five'), 'live_keys', 3);
      passSeconds(6);
      await poll('the count is renewed', async () => (await alice('append', 'six')).code === status.OK);
      t.is(
        ledger.outcomes.count('refused') + ledger.outcomes.count('executed'),
        ledger.outcomes.ended.length - 2,
      );
    },
  );

  test.serial(`${engine}: a scope never has more running handlers than its in-flight quota`, async (t) => {
    const barrier = new Barrier();
    let running = 0;
    let maxRunning = 0;
    const { ledger, as } = await open(...([t, await emptied(t, engine), { inFlightPerScope: 2 }] as const), {
      engine: { unitLimitMs: 60_000 },
      handlers: (database) =>
        onBoth(async (account, callback) => {
          maxRunning = Math.max(maxRunning, ++running);
          if (account === 'held') await barrier.pass();
          else await database.transaction(() => writeEffect(database, account));
          running--;
          callback(null, {});
        }),
    });
    const [alice, bob] = [as('alice'), as('bob')];
    t.is((await alice('transfer', 'before')).code, status.OK);
    // Transfer has atomicity LEASE, so that on SQLite two handlers can run at the same time.
    const held = ['one', 'two'].map((key) => alice('transfer', key, 'held'));
    await barrier.reached(2);
    const burst = await Promise.all(Array.from({ length: 40 }, (_, i) => alice('transfer', `burst-${i}`)));
    for (const reply of burst) assertExceeded(t, reply, 'in_flight', 2);
    t.is(maxRunning, 2);
    t.is(await recordCount(ledger), 3);
    t.like(await alice('transfer', 'before'), { code: status.OK, replayed: true });
    t.like(await bob('transfer', 'one'), { code: status.OK, replayed: false });
    barrier.open();
    for (const reply of await Promise.all(held)) t.is(reply.code, status.OK);
    t.like(await alice('transfer', 'burst-0'), { code: status.OK, replayed: false });
  });
}

test.serial(
  'a burst of calls fills the in-flight quota exactly, and the other calls are refused',
  async (t) => {
    const barrier = new Barrier();
    let [running, maxRunning] = [0, 0];
    const { as, ledger } = await open(
      t,
      'memory',
      { inFlightPerScope: 5 },
      {
        handlers: () =>
          onBoth(async (_account, callback) => {
            maxRunning = Math.max(maxRunning, ++running);
            await barrier.pass();
            running--;
            callback(null, {});
          }),
      },
    );
    const burst = Array.from({ length: 100 }, (_, i) => as('alice')('append', `key-${i}`));
    await barrier.reached(5);
    await poll('the other calls are refused', () => ledger.outcomes.count('refused') === 95);
    barrier.open();
    const codes = (await Promise.all(burst)).map(({ code }) => code);
    t.is(codes.filter((code) => code === status.OK).length, 5);
    t.is(maxRunning, 5);
  },
);

test.serial('waiting duplicates do not count as in-flight calls', async (t) => {
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
    `a call that ${ending} frees its in-flight slot at once and its live key at the next count`,
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

/** A store that counts its `countLive` calls, and delays or fails them on request. */
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

test.serial(
  'the live keys of a scope are counted once in five seconds, for any number of calls',
  async (t) => {
    const { store, ledger, as } = await counted(t);
    const round = (name: string) =>
      Promise.all(
        Array.from({ length: 50 }, (_, i) => as(i % 2 ? 'alice' : 'bob')('append', `${name}-${i}`)),
      );
    await round('first');
    t.is(store.counts, 2);
    t.is(ledger.outcomes.did('count'), 2);
    await round('second');
    t.is(store.counts, 2);
    passSeconds(6);
    await round('third');
    t.is(store.counts, 4);
    t.is(ledger.outcomes.count('executed'), 150);
  },
);

test.serial('a later count runs in the background, and a failed count is not repeated at once', async (t) => {
  const { store, as } = await counted(t);
  await as('alice')('append', 'first');
  store.gate = new Barrier();
  store.failure = new DatabaseUnavailableError('on purpose');
  passSeconds(6);
  // The call is answered before the count.
  t.is((await as('alice')('append', 'second')).code, status.OK);
  store.gate.open();
  for (let i = 0; i < 10; i++) t.is((await as('alice')('append', `key-${i}`)).code, status.OK);
  t.is(store.counts, 2);
});

test.serial('a call is refused when the first count fails, and the next call counts again', async (t) => {
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

test.serial('the counts of the 10,000 most recent scopes are kept', async (t) => {
  const scopes = 10_000;
  const store = new CountedStore(new MemoryStore());
  const guard = createReplayGuard({
    ...{ store, scope: scopeFromMetadata('x-tenant'), quotas: { liveKeysPerScope: 5 } },
  });
  t.teardown(() => guard.close());
  const watch = { interceptor: guard.interceptor, method: guard.protect(feed).Watch as Served['method'] };
  const askAs = async (tenant: number) => t.is(await served(watch, `tenant-${tenant}`), status.OK);
  for (let tenant = 0; tenant <= scopes; tenant++) await askAs(tenant);
  t.is(store.counts, scopes + 1);
  await askAs(scopes);
  t.is(store.counts, scopes + 1, 'the count is kept');
  await askAs(0);
  t.is(store.counts, scopes + 2, 'the count was dropped');
});

test.serial('the counts of scopes with long names are kept up to 10,000,000 characters', async (t) => {
  const store = new CountedStore(new MemoryStore());
  const guard = createReplayGuard({
    ...{ store, scope: scopeFromMetadata('x-tenant'), quotas: { liveKeysPerScope: 5 } },
  });
  t.teardown(() => guard.close());
  const watch = { interceptor: guard.interceptor, method: guard.protect(feed).Watch as Served['method'] };
  const askAs = async (tenant: number) =>
    t.is(await served(watch, String(tenant).padStart(100_000, '0')), status.OK);
  for (let tenant = 0; tenant <= 100; tenant++) await askAs(tenant);
  await askAs(100);
  t.is(store.counts, 101, 'the count is kept');
  await askAs(0);
  t.is(store.counts, 102, 'the count was dropped');
});

/** The interceptor of a guard, and a method in its protected form. */
interface Served {
  readonly interceptor: ServerInterceptor;
  readonly method: MethodDefinition<unknown, unknown>;
}

/** Sends one call through the interceptor without a socket, and resolves to its status. */
function served({ interceptor, method }: Served, tenant: string): Promise<status> {
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
      startRead() {},
    } as unknown as ServerInterceptingCallInterface;
    const { requestDeserialize, responseSerialize } = method;
    const streams = { requestStream: false, responseStream: true };
    const call = interceptor({ path: WATCH, ...streams, requestDeserialize, responseSerialize }, wire);
    call.start({
      ...{ onReceiveMetadata() {}, onReceiveMessage() {}, onCancel() {} },
      onReceiveHalfClose: () => call.sendStatus({ code: status.OK, details: '' }),
    });
  });
}

/** A mark that only the server knows. */
const OWN = { 'x-own-call': 'secret' };

test.serial('an exempt call runs inside a call that has the last slot, and its key counts', async (t) => {
  const quotas: QuotaOptions = {
    ...{ inFlightPerScope: 1, liveKeysPerScope: 2 },
    exempt: ({ metadata }) => metadata.get('x-own-call')[0] === OWN['x-own-call'],
  };
  const nested = (own: Record<string, string>) =>
    ledger.ask('append', `nested-${own['x-own-call']}`, 'alice', {
      metadata: { 'x-tenant': 'alice', ...own },
    });
  let inner: Reply<unknown> | undefined;
  const { ledger, as } = await open(t, 'memory', quotas, {
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'outer') inner = await nested(OWN);
        if (account === 'forged') inner = await nested({ 'x-own-call': 'guess' });
        callback(null, {});
      }),
  });
  t.is((await as('alice')('append', 'one', 'outer')).code, status.OK);
  t.is(inner?.code, status.OK, inner?.details);
  t.deepEqual(ledger.outcomes.exceeded, []);
  assertExceeded(t, await as('alice')('append', 'two'), 'live_keys', 2);
  t.is((await as('bob')('append', 'one', 'forged')).code, status.OK);
  assertExceeded(t, inner as Reply<unknown>, 'live_keys', 2);
  t.is((await as('carol')('append', 'one')).code, status.OK, 'the slot of an exempt call is not returned');
});

test.serial('a nested call without the mark is refused, and the observer gets the quota', async (t) => {
  let inner: Reply<unknown> | undefined;
  const { ledger, as } = await open(
    t,
    'memory',
    { inFlightPerScope: 1, exempt: (async () => true) as never },
    {
      handlers: () =>
        onBoth(async (account, callback) => {
          if (account === 'outer') inner = await as('alice')('append', 'inner');
          callback(null, {});
        }),
    },
  );
  t.is((await as('alice')('append', 'outer', 'outer')).code, status.OK);
  assertExceeded(t, inner as Reply<unknown>, 'in_flight', 1);
  t.regex(inner?.details ?? '', /^the caller has reached its limit of 1 in-flight calls/);
  t.deepEqual(ledger.outcomes.exceeded, [{ quota: 'in_flight', limit: 1 }]);
});

test.serial('an asynchronous exempt function that rejects exempts no call and fails no call', async (t) => {
  const exempt = (async () => {
    throw new Error('no directory');
  }) as never;
  const { as } = await open(t, 'memory', { liveKeysPerScope: 1, exempt });
  t.is((await as('alice')('append', 'one')).code, status.OK);
  assertExceeded(t, await as('alice')('append', 'two'), 'live_keys', 1);
});

test('the option exempt must be a function', (t) => {
  const quotas = { exempt: 'x-own-call' as never };
  t.throws(() => createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), quotas }), {
    instanceOf: TypeError,
    message: /exempt/,
  });
});

test('a limit must be a whole number of at least 1', (t) => {
  const made = (quotas: object) =>
    createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), quotas });
  for (const name of ['inFlightPerScope', 'liveKeysPerScope'])
    for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5', null])
      t.throws(() => made({ [name]: limit }), { instanceOf: TypeError, message: new RegExp(name) });
});

test('the waiting duplicates of all keys are bounded, and duplicates with another payload count', async (t) => {
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
      ...{ waiters: 3, waitersPerKey: 2, quotas: { waitingPerScope: 3 } },
      ...{ scope: () => scoped.pass().then(() => 'alice') },
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
