import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { executionSignal, type MethodPolicy } from 'grpc-replay-guard';
import { LeaseLostError } from 'grpc-replay-guard/database';
import type { OpenStore } from 'grpc-replay-guard/store';
import pg from 'pg';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { engines as databases } from '../../helpers/databases/engines.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { sharedData } from '../../helpers/databases/shared-data.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { Cancellations } from '../../helpers/servers/cancellations.js';
import {
  type Ledger,
  type LedgerSetup,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const engines = [...databases, 'memory'] as const;
type AnyEngine = (typeof engines)[number];
type Handlers = NonNullable<LedgerSetup['handlers']>;

const shared = sharedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];

/** Servers that share the data of one engine. */
interface SharedServers {
  /** Starts another server. */
  serve(policy: Partial<MethodPolicy>, handlers?: Handlers, setup?: LedgerSetup): Promise<Ledger>;
  /** Ends the leases of the running executions, so that another server can take their keys over. */
  expire(): Promise<void>;
  /** Makes a barrier for the handlers. The barrier opens at the end of the test at the latest. */
  barrier(): Barrier;
  /** The URL of the database. */
  readonly url: string;
  /** The scope and the account of this test. Other tests share the database. */
  readonly name: string;
  /** The number of effects. Without a database the expected number. */
  effects(expected: number): Promise<number>;
}

async function scene(t: ExecutionContext, engine: AnyEngine): Promise<SharedServers> {
  const source = engine === 'memory' ? engine : await shared(t, engine);
  const name = randomUUID();
  let skewMs = 0;
  let first: Ledger | undefined;
  const barriers: Barrier[] = [];
  const database = () => (first as Ledger).database;
  return {
    name,
    url: source === 'memory' ? '' : source.url,
    serve: async (policy, handlers, setup = {}) => {
      const memory = engine === 'memory' && first && { opened: { store: first.store } as OpenStore };
      const ledger = await openLedger(t, source, {
        engine: { clock: () => Date.now() + skewMs, maxConnections: 4 },
        ...(handlers && { handlers }),
        ...memory,
        ...setup,
        guard: {
          scope: () => name,
          policies: Object.fromEntries(paths.map((path) => [path, { waitMs: 0, ...policy }])),
        },
      });
      first ??= ledger;
      // Runs before the guard is closed, because closing waits for the handlers.
      t.teardown(() => {
        for (const barrier of barriers) barrier.open();
      });
      return { ...ledger, transfer: (key) => ledger.transfer(key, { from: name }) };
    },
    expire: async () => {
      // This has the effect of a server that takes the keys over and then crashes.
      const text = 'UPDATE replay_guard_records SET fence = fence + 1, lease_until = 0 WHERE scope = $1';
      if (engine === 'postgres') await database().query(text, [scopeDigest(name)]);
      else skewMs += 1_000_000;
    },
    barrier: () => {
      const barrier = new Barrier();
      barriers.push(barrier);
      return barrier;
    },
    effects: async (expected) => {
      if (engine === 'memory') return expected;
      return (await database().query('SELECT 1 AS one FROM effects WHERE account = $1', [name])).length;
    },
  };
}

/** Waits at the barrier, then writes and answers. With another `code` than OK the handler only fails. */
const held =
  (engine: AnyEngine, barrier: Barrier, code = status.OK): Handlers =>
  (database) => ({
    Transfer: async ({ request }, callback) => {
      await barrier.pass();
      if (code !== status.OK) return callback({ code });
      const written = engine === 'memory' ? Promise.resolve() : writeEffect(database, request.from);
      const failure = await written.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure) callback({ code: status.ABORTED });
      else callback(null, { transferId: randomUUID() });
    },
  });

for (const engine of engines) {
  test(`${engine}: a handler that runs longer than its lease keeps its key`, async (t) => {
    const { serve, barrier: newBarrier, effects } = await scene(t, engine);
    const barrier = newBarrier();
    const leaseMs = 4_500;
    const ledger = await serve({ leaseMs }, held(engine, barrier));
    const other = await serve({ leaseMs });
    const first = ledger.transfer('key');
    await barrier.reached();
    // The interval between two heartbeats is a third of a lease.
    await ledger.outcomes.used('renew', 4);
    const duplicate = await other.transfer('key');
    assertRefused(t, duplicate, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    barrier.open();
    const { code, bytes } = await first;
    t.is(code, status.OK);
    t.like(await other.transfer('key'), { replayed: true, bytes });
    t.is(await effects(1), 1);
  });

  test(`${engine}: a server whose key was taken over rolls back and aborts its handler's signal`, async (t) => {
    const { serve, barrier: newBarrier, expire, effects } = await scene(t, engine);
    const [entered, opened] = [new Barrier(), newBarrier()];
    opened.open();
    const late: { reason?: unknown; write?: Promise<unknown> } = {};
    // The lease must not expire before the takeover, also on a busy machine.
    const earlierServer = await serve({ leaseMs: 9_000 }, (database) => ({
      Transfer: async ({ request }, callback) => {
        const signal = executionSignal() as AbortSignal;
        if (entered.arrived > 0) return callback({ code: status.INTERNAL });
        void entered.pass();
        await once(signal, 'abort');
        late.reason = signal.reason;
        if (engine !== 'memory') late.write = writeEffect(database, request.from);
        await late.write?.catch(() => {});
        callback(null, { transferId: 'late' });
      },
    }));
    const other = await serve({ leaseMs: 60_000 }, held(engine, opened));
    const first = earlierServer.transfer('key');
    await entered.reached();
    let second = await other.transfer('key');
    await poll('the key is taken over', async () => {
      await expire();
      second = await other.transfer('key');
      return second.code === status.OK;
    });
    assertRefused(t, await first, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.true(late.reason instanceof LeaseLostError);
    if (engine !== 'memory')
      await t.throwsAsync(late.write as Promise<unknown>, { message: /taken over|rolled back/ });
    t.is(await effects(1), 1);
    t.like(await earlierServer.transfer('key'), { replayed: true, bytes: second.bytes });
    t.true(other.outcomes.takenOver[0]);
    t.is(earlierServer.outcomes.running, 0);
  });

  test(`${engine}: an execution that lost its lease does not change the record of the next execution`, async (t) => {
    const { serve, barrier: newBarrier, expire, effects } = await scene(t, engine);
    const [completing, releasing, giving, owning] = [newBarrier(), newBarrier(), newBarrier(), newBarrier()];
    giving.open();
    const policy = { leaseMs: 60_000 };
    // The servers run one after the other: two SQLite servers in one process cannot wait for each other's write.
    const late = await serve(policy, held(engine, completing));
    const [completed, anew] = [late.transfer('completed'), late.transfer('anew')];
    await completing.reached(2);
    const failing = await serve(policy, held(engine, releasing, status.ABORTED));
    const released = failing.transfer('released');
    await releasing.reached();

    await expire();
    const second = await (await serve(policy)).transfer('completed');
    t.like(second, { code: status.OK, replayed: false });
    const giver = await serve(policy, held(engine, giving, status.ABORTED));
    for (const key of ['released', 'anew']) t.is((await giver.transfer(key)).code, status.ABORTED);
    t.deepEqual(giver.outcomes.takenOver, [true, true]);
    const owner = await serve(policy, held(engine, owning));
    const owned = { released: owner.transfer('released'), anew: owner.transfer('anew') };
    await owning.reached(2);
    t.deepEqual(owner.outcomes.takenOver, [false, false]);

    completing.open();
    for (const lost of [await completed, await anew])
      assertRefused(t, lost, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    releasing.open();
    t.is((await released).code, status.ABORTED);
    t.like(await late.transfer('completed'), { replayed: true, bytes: second.bytes });
    for (const key of ['released', 'anew']) {
      const refused = await giver.transfer(key);
      assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    }
    owning.open();
    for (const key of ['released', 'anew'] as const) {
      const { code, bytes } = await owned[key];
      t.is(code, status.OK);
      t.like(await giver.transfer(key), { replayed: true, bytes });
    }
    t.is(await effects(3), 3);
  });

  test(`${engine}: the execution of a handler that never answers is ended, and its key is free`, async (t) => {
    const { serve, effects } = await scene(t, engine);
    let signal: AbortSignal | undefined;
    const policy = { leaseMs: 1_000, maxExecutionMs: 1_000 };
    const ledger = await serve(policy, () => ({
      Transfer: () => {
        signal = executionSignal();
      },
    }));
    const lost = await ledger.transfer('key');
    assertRefused(t, lost, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
    t.true(signal?.reason instanceof LeaseLostError);
    const other = await serve({ leaseMs: 60_000 });
    t.like(await other.transfer('key'), { code: status.OK, replayed: false });
    t.deepEqual(other.outcomes.takenOver, [false]);
    t.is(await effects(1), 1);
  });

  test(`${engine}: a client that disconnects does not end its execution`, async (t) => {
    const { serve, barrier: newBarrier } = await scene(t, engine);
    const [barrier, cancellations] = [newBarrier(), new Cancellations()];
    const signals: AbortSignal[] = [];
    const handlers: Handlers = (database) => ({
      Transfer: (call, callback) => {
        signals.push(executionSignal() as AbortSignal);
        return held(engine, barrier)(database).Transfer?.(call, callback);
      },
    });
    const ledger = await serve({ leaseMs: 60_000, waitMs: 60_000 }, handlers, {
      before: [cancellations.interceptor],
    });
    const client = new AbortController();
    const cancelled = ledger.connection.call(
      ledger.definition.Transfer,
      { from: 'alice' },
      { key: 'cancelled', signal: client.signal },
    );
    await barrier.reached();
    client.abort();
    t.is((await cancelled).code, status.CANCELLED);
    await cancellations.noticed();
    t.false(signals[0]?.aborted);
    barrier.open();
    await ledger.outcomes.reached('executed');
    const retry = await ledger.connection.call(
      ledger.definition.Transfer,
      { from: 'alice' },
      { key: 'cancelled' },
    );
    t.like(retry, { code: status.OK, replayed: true });
    t.is(signals.length, 1);
    t.false(signals[0]?.aborted);
  });
}

for (const engine of databases) {
  test(`${engine}: a transaction that lasts longer than a lease keeps its key while its server runs`, async (t) => {
    const { serve, barrier: newBarrier, effects, name } = await scene(t, engine);
    const barrier = newBarrier();
    const handlers: Handlers = (database) => ({
      Append: async ({ request }, callback) => {
        await writeEffect(database, request.account);
        await barrier.pass();
        callback(null, {});
      },
    });
    const ledger = await serve({ leaseMs: 4_500 }, handlers, { engine: { unitLimitMs: 60_000 } });
    const first = ledger.append('key', { account: name });
    await barrier.reached();
    await ledger.outcomes.used('renew', 4);
    barrier.open();
    t.like(await first, { code: status.OK, replayed: false });
    t.is(await effects(1), 1);
  });
}

const heartbeat = /^UPDATE replay_guard_records SET lease_until/;

for (const when of ['before', 'after'] as const) {
  test(`postgres: a connection that breaks ${when} a heartbeat does not lose the lease`, async (t) => {
    const { serve, barrier: newBarrier, effects } = await scene(t, 'postgres');
    const proxy = await startProxy(t, (await shared(t, 'postgres')).url);
    const opened = await openUrl(proxy.url);
    t.teardown(opened.close);
    const barrier = newBarrier();
    const ledger = await serve({ leaseMs: 9_000 }, held('postgres', barrier), { opened });
    const first = ledger.transfer('key');
    await barrier.reached();
    proxy.cutAt(heartbeat, when);
    await ledger.outcomes.used('renew', 1, true);
    await ledger.outcomes.used('renew', 1);
    barrier.open();
    t.like(await first, { code: status.OK, replayed: false });
    t.is(await effects(1), 1);
  });
}

test('sqlite: a heartbeat that waits for another process does not lose the lease', async (t) => {
  const { serve, barrier: newBarrier, url, effects } = await scene(t, 'sqlite');
  const barrier = newBarrier();
  const engine = { lockTimeoutMs: 10 };
  const ledger = await serve({ leaseMs: 9_000 }, held('sqlite', barrier), { engine });
  const first = ledger.transfer('key');
  await barrier.reached();
  const another = new Sqlite(url.slice('sqlite:'.length), { timeout: 0 });
  t.teardown(() => {
    another.close();
  });
  await poll('the other connection has the write lock', () => {
    try {
      another.exec('BEGIN IMMEDIATE');
    } catch {
      return false;
    }
    return true;
  });
  await ledger.outcomes.used('renew', 1, true);
  another.exec('ROLLBACK');
  await ledger.outcomes.used('renew', 1);
  barrier.open();
  t.like(await first, { code: status.OK, replayed: false });
  t.is(await effects(1), 1);
});

test('postgres: a lease expires also when the store never answers a heartbeat', async (t) => {
  const { serve, url, name } = await scene(t, 'postgres');
  const entered = new Barrier();
  const signals: AbortSignal[] = [];
  const handlers: Handlers = () => ({
    Transfer: () => {
      signals.push(executionSignal() as AbortSignal);
      void entered.pass();
    },
  });
  const policy = { leaseMs: 1_000, maxExecutionMs: 60_000 };
  const ledger = await serve(policy, handlers, { engine: { lockTimeoutMs: 60_000 } });
  const first = ledger.transfer('key');
  await entered.reached();
  const another = new pg.Client({ connectionString: url });
  await another.connect();
  t.teardown(() => another.end());
  await another.query('BEGIN');
  await another.query('SELECT 1 FROM replay_guard_records WHERE scope = $1 FOR UPDATE', [scopeDigest(name)]);
  await poll('the signal of the handler is aborted', () => signals[0]?.aborted === true);
  t.true(signals[0]?.reason instanceof LeaseLostError);
  t.deepEqual(
    ledger.outcomes.uses.filter(({ operation, failed }) => operation === 'renew' && failed),
    [],
  );
  await another.query('ROLLBACK');
  assertRefused(t, await first, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
});

test('postgres: twenty servers on two pools try a takeover, and exactly one executes', async (t) => {
  const { serve, barrier: newBarrier, url, expire, effects } = await scene(t, 'postgres');
  const barrier = newBarrier();
  const dead = await serve({ leaseMs: 60_000 }, held('postgres', barrier));
  const first = dead.transfer('key');
  await barrier.reached();
  const pools = [await openUrl(url, { maxConnections: 5 }), await openUrl(url, { maxConnections: 5 })];
  for (const opened of pools) t.teardown(opened.close);
  const contenders: Ledger[] = [];
  for (let contender = 0; contender < 20; contender++) {
    const opened = pools[contender % 2] as OpenStore;
    contenders.push(await serve({ leaseMs: 60_000, waitMs: 20_000 }, undefined, { opened }));
  }
  await expire();
  const replies = await Promise.all(contenders.map((contender) => contender.transfer('key')));
  t.deepEqual(
    replies.filter(({ code }) => code !== status.OK).map(({ details }) => details),
    [],
  );
  t.is(new Set(replies.map(({ bytes }) => bytes?.toString('hex'))).size, 1);
  t.is(replies.filter(({ replayed }) => !replayed).length, 1);
  t.deepEqual(
    contenders.flatMap(({ outcomes }) => outcomes.takenOver),
    [true],
  );
  barrier.open();
  assertRefused(t, await first, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
  t.is(await effects(1), 1);
});
