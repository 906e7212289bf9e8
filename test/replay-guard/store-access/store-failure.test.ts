import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import type { GuardMode } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import type { OpenStore } from 'grpc-replay-guard/store';
import pg from 'pg';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { freshFolder } from '../../helpers/databases/engines.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { Cancellations } from '../../helpers/servers/cancellations.js';
import {
  type Ledger,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const emptied = emptiedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = (policy: object) => Object.fromEntries(paths.map((path) => [path, policy]));
const FAILURES = 5;

/** A store that counts its claims and pings. The pings are the probes of the circuit. */
class CountingStore extends PassingStore {
  claims = 0;
  pings = 0;
  override claim(request: never) {
    this.claims++;
    return super.claim(request);
  }
  override ping() {
    this.pings++;
    return super.ping();
  }
}

/** A ledger on a Postgres behind a proxy. Its handlers do not use the database. */
async function behindProxy(
  t: ExecutionContext,
  onStoreFailure: 'REFUSE' | 'EXECUTE',
  { latencyMs = 0, mode = 'ENFORCE' as GuardMode } = {},
) {
  const data = await emptied(t, 'postgres');
  const proxy = await startProxy(t, data.url, { latencyMs });
  const config: pg.PoolConfig & { pipeline: boolean } = {
    ...{ connectionString: proxy.url, pipeline: true, max: 6 },
    ...{ connectionTimeoutMillis: 1_500, query_timeout: 1_500 },
  };
  const pool = new pg.Pool(config).on('error', () => {});
  t.teardown(() => pool.end());
  const opened = await openPostgres({ pool });
  const store = new CountingStore(opened.store);
  const ledger = await openLedger(t, data, {
    opened: { ...opened, store },
    guard: { mode, policies: policies({ onStoreFailure }) },
    handlers: () => onBoth((_account, callback) => callback(null, {})),
  });
  return { proxy, store, ledger };
}

const askMany = (ledger: Ledger, count: number, name: string) =>
  Promise.all(Array.from({ length: count }, (_, i) => ledger.ask(methods[i % 2 ? 0 : 1], `${name}-${i}`)));

const opens = ({ outcomes }: Ledger) => poll('the circuit is open', () => outcomes.circuit.at(-1) === true);
const closes = ({ outcomes }: Ledger) =>
  poll('the circuit is closed', () => outcomes.circuit.at(-1) === false);

for (const failure of ['down', 'hang'] as const) {
  test.serial(
    `postgres, ${failure}: calls are refused until the store is back, at once when the circuit is open`,
    async (t) => {
      const { proxy, store, ledger } = await behindProxy(t, 'REFUSE');
      for (const method of methods) await ledger.ask(method, 'before');
      proxy[failure]();
      const [claims, entered] = [store.claims, ledger.entered];
      for (const reply of await askMany(ledger, FAILURES, 'failing'))
        assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      await opens(ledger);
      for (const reply of await askMany(ledger, 50, 'refused'))
        assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      t.is(store.claims - claims, FAILURES);
      // A probe may be under way. A connection that was already open causes no new connection.
      t.true(proxy.refused <= FAILURES + store.pings, `${proxy.refused} connections`);
      t.is(ledger.entered, entered, 'no handler was entered');
      proxy.up();
      await closes(ledger);
      for (const method of methods) {
        t.like(await ledger.ask(method, 'before'), { code: status.OK, replayed: true });
        t.like(await ledger.ask(method, 'failing-0'), { code: status.OK, replayed: false });
      }
      t.deepEqual(ledger.outcomes.circuit, [true, false]);
    },
  );

  test.serial(`postgres, ${failure}: policy EXECUTE runs calls unguarded and counts them`, async (t) => {
    const { proxy, store, ledger } = await behindProxy(t, 'EXECUTE');
    for (const method of methods) await ledger.ask(method, 'before');
    proxy[failure]();
    const claims = store.claims;
    const failing = await askMany(ledger, FAILURES, 'failing');
    await opens(ledger);
    const spared = await askMany(ledger, 20, 'spared');
    for (const reply of [...failing, ...spared]) {
      t.like(reply, { code: status.OK, replayed: false });
      t.deepEqual(reply.trailers.get('idempotency-expires-at'), []);
    }
    t.is(store.claims - claims, FAILURES);
    t.is(ledger.outcomes.unguarded, FAILURES + 20);
    t.is(ledger.outcomes.count('bypassed'), FAILURES + 20);
    t.is(ledger.entered, 2 + FAILURES + 20);
    proxy.up();
    await closes(ledger);
    t.like(await ledger.append('before'), { code: status.OK, replayed: true });
    t.like(await ledger.transfer('failing-0'), { code: status.OK, replayed: false });
    t.like(await ledger.transfer('failing-0'), { code: status.OK, replayed: true });
    t.is(ledger.outcomes.unguarded, FAILURES + 20);
  });
}

for (const failure of ['down', 'hang'] as const) {
  test.serial(`postgres, ${failure}: observed calls execute while the store fails`, async (t) => {
    const { proxy, store, ledger } = await behindProxy(t, 'REFUSE', { mode: 'OBSERVE' });
    await ledger.append('before');
    proxy[failure]();
    const claims = store.claims;
    for (const reply of await askMany(ledger, FAILURES, 'failing')) t.is(reply.code, status.OK);
    await opens(ledger);
    for (const reply of await askMany(ledger, 20, 'spared')) t.is(reply.code, status.OK);
    t.is(store.claims - claims, FAILURES);
    t.is(ledger.entered, 1 + FAILURES + 20);
    t.deepEqual(ledger.outcomes.observed.slice(1), Array(FAILURES + 20).fill('refused'));
    proxy.up();
    await closes(ledger);
    await ledger.append('after');
    t.is(ledger.outcomes.observed.at(-1), 'executed');
  });
}

test.serial('postgres, slow: calls succeed and the circuit stays closed', async (t) => {
  const { ledger } = await behindProxy(t, 'REFUSE', { latencyMs: 30 });
  for (const reply of await askMany(ledger, 8, 'slow')) t.is(reply.code, status.OK);
  t.deepEqual(ledger.outcomes.circuit, []);
});

test.serial(
  'postgres: a key that another server holds does not count as a failure of the store',
  async (t) => {
    const data = await emptied(t, 'postgres');
    const barrier = new Barrier();
    const holder = await openLedger(t, data, {
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    });
    const held = holder.append('key');
    await barrier.reached();
    const ledger = await openLedger(t, data, {
      engine: { lockTimeoutMs: 20 },
      guard: { policies: policies({ waitMs: 0 }) },
    });
    for (let i = 0; i <= FAILURES; i++)
      t.is((await ledger.append('key')).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_IN_PROGRESS');
    t.deepEqual(ledger.outcomes.circuit, []);
    t.is((await ledger.append('another')).code, status.OK);
    barrier.open();
    await held;
  },
);

for (const onStoreFailure of ['REFUSE', 'EXECUTE'] as const) {
  test.serial(
    `sqlite, read-only: policy ${onStoreFailure} applies to new keys, and stored replies are replayed`,
    async (t) => {
      const handle = new Sqlite(join(await freshFolder(t), 'test.db'));
      t.teardown(() => void handle.close());
      const opened = await openSqlite({ database: handle });
      t.teardown(opened.close);
      const ledger = await openLedger(t, 'sqlite', {
        opened,
        guard: { policies: policies({ onStoreFailure }) },
        handlers: (database) =>
          onBoth(async (account, callback) => {
            if (account) await writeEffect(database, account);
            callback(null, {});
          }),
      });
      for (const method of methods) await ledger.ask(method, 'before', 'alice');
      handle.pragma('query_only = ON');
      const entered = ledger.entered;
      // Look-ups still work, so stored replies are replayed.
      for (const method of methods)
        t.like(await ledger.ask(method, 'before', 'alice'), { code: status.OK, replayed: true });
      const failing = await askMany(ledger, FAILURES + 5, 'failing');
      t.deepEqual(ledger.outcomes.circuit[0], true);
      if (onStoreFailure === 'EXECUTE') t.is(ledger.outcomes.unguarded, FAILURES + 5);
      for (const reply of failing) {
        if (onStoreFailure === 'EXECUTE') t.is(reply.code, status.OK);
        else assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_STORE_UNAVAILABLE', 'RetryInfo');
      }
      t.is(ledger.entered - entered, onStoreFailure === 'EXECUTE' ? FAILURES + 5 : 0);
      handle.pragma('query_only = OFF');
      await closes(ledger);
      for (const method of methods)
        t.like(await ledger.ask(method, 'failing-0', 'bob'), { code: status.OK, replayed: false });
      t.deepEqual(await ledger.effects(), ['alice', 'alice', 'bob', 'bob']);
    },
  );
}

test.serial(
  'a call whose client disconnected while the store failed is not executed unguarded',
  async (t) => {
    class FailingStore extends PassingStore {
      readonly claiming = new Barrier();
      override async claim(): Promise<never> {
        await this.claiming.pass();
        throw new Error('on purpose');
      }
    }
    const failing = new FailingStore(new MemoryStore());
    const cancellations = new Cancellations();
    const ledger = await openLedger(t, 'memory', {
      before: [cancellations.interceptor],
      opened: { store: failing } as unknown as OpenStore,
      guard: { policies: policies({ onStoreFailure: 'EXECUTE' }) },
    });
    const client = new AbortController();
    const call = ledger.append('key', {}, { signal: client.signal });
    await failing.claiming.reached();
    client.abort();
    await call;
    await cancellations.noticed();
    failing.claiming.open();
    await ledger.outcomes.reached('released');
    t.is(ledger.entered, 0);
    t.is(ledger.outcomes.unguarded, 0);
  },
);
