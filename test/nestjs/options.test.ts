import { once } from 'node:events';
import { mock } from 'node:test';
import { status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { NestFactory } from '@nestjs/core';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { MemoryStore } from 'grpc-replay-guard/memory';
import {
  createNestLogger,
  guardedGrpc,
  ReplayGuardModule,
  type ReplayGuardModuleOptions,
} from 'grpc-replay-guard/nestjs';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import { ledger, loadsLedger, startLedgerApp } from './ledger-app.js';

const scope = singleTenant();
// NestJS keeps `abortOnError` of the last start for all starts of the process.
const quietly = { logger: false, abortOnError: false } as const;

function optionsThatCount(options: object) {
  const counts = { opened: 0, closed: 0 };
  const open = async () => {
    counts.opened++;
    const opened = await openSqlite({ path: ':memory:' });
    return {
      ...opened,
      close: async () => {
        counts.closed++;
        await opened.close();
      },
    };
  };
  return { counts, options: { open, scope, ...options } as ReplayGuardModuleOptions };
}

for (const [name, wrong, message] of [
  ['a misspelt option', { retentionMS: 1_000 }, /ReplayGuardModule: unknown option retentionMS/],
  ['the option store', { store: new MemoryStore() }, /ReplayGuardModule: unknown option store/],
  ['a missing open', { open: undefined }, /the option open is required/],
  ['a time limit that no timer has', { closeTimeoutMs: 2 ** 31 }, /closeTimeoutMs must be a whole number/],
] as const) {
  test(`${name} stops the start before the database is opened`, async (t) => {
    const { counts, options } = optionsThatCount(wrong);
    const root = { module: class App {}, imports: [ReplayGuardModule.forRoot(options)] };
    const start = NestFactory.createApplicationContext(root, quietly);
    await t.throwsAsync(start, { instanceOf: TypeError, message });
    t.deepEqual(counts, { opened: 0, closed: 0 });
  });
}

test('a misspelt option of forRootAsync, or a missing factory, is refused at once', (t) => {
  const wrong = (options: object) => () => ReplayGuardModule.forRootAsync(options as never);
  const useFactory = () => optionsThatCount({}).options;
  t.throws(wrong({ useFactory, injects: [] }), { message: /forRootAsync: unknown option injects/ });
  t.throws(wrong({}), { instanceOf: TypeError, message: /the option useFactory is required/ });
});

test('an option that the guard refuses stops the start, and the database is closed', async (t) => {
  const { counts, options } = optionsThatCount({ storeTimeoutMs: 0 });
  const root = { module: class App {}, imports: [ReplayGuardModule.forRoot(options)] };
  const start = NestFactory.createApplicationContext(root, quietly);
  await t.throwsAsync(start, { instanceOf: TypeError, message: /storeTimeoutMs/ });
  t.deepEqual(counts, { opened: 1, closed: 1 });
});

for (const [name, opened] of [
  ['nothing', undefined],
  ['a store', new MemoryStore()],
] as const) {
  test(`an open that returns ${name} stops the start and names what to return`, async (t) => {
    const { options } = optionsThatCount({ open: async () => opened });
    const root = { module: class App {}, imports: [ReplayGuardModule.forRoot(options)] };
    const start = NestFactory.createApplicationContext(root, quietly);
    await t.throwsAsync(start, {
      instanceOf: TypeError,
      message: /the result of openSqlite or openPostgres/,
    });
  });
}

test('an application without a gRPC server closes the guard and the database', async (t) => {
  const { counts, options } = optionsThatCount({});
  const root = { module: class App {}, imports: [ReplayGuardModule.forRoot(options)] };
  const app = await NestFactory.createApplicationContext(root, quietly);
  await app.close();
  t.deepEqual(counts, { opened: 1, closed: 1 });
});

test('a policy that the service does not admit stops the start with the error of protect', async (t) => {
  const policies = { [ledger.Append.path]: { retentionMs: 1 } };
  const { options } = optionsThatCount({ policies });
  const start = startLedgerApp(t, { guard: ReplayGuardModule.forRoot(options) });
  await t.throwsAsync(start, { instanceOf: TypeError, message: /Append/ });
});

test('a loaded definition of the application is guarded and stays as it was', async (t) => {
  const { loader, protoPath, ...named } = loadsLedger;
  const packageDefinition = loadSync(String(protoPath), { includeDirs: loader?.includeDirs ?? [] });
  const before = { ...packageDefinition };
  const { options } = optionsThatCount({});
  const app = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot(options),
    grpc: { ...named, protoPath: undefined, packageDefinition } as object,
  });
  t.is((await app.append('ada', { key: 'k' })).code, status.OK);
  t.true((await app.append('ada', { key: 'k' })).replayed);
  t.deepEqual(packageDefinition, before);
});

test('interceptors of the application run before the guard, and its hook before the protection', async (t) => {
  const order: string[] = [];
  const { options } = optionsThatCount({});
  const app = await startLedgerApp(t, {
    guard: ReplayGuardModule.forRoot({
      ...options,
      scope: () => {
        order.push('guard');
        return 'caller';
      },
    }),
    grpc: {
      channelOptions: {
        interceptors: [
          (_method: unknown, call: unknown) => {
            order.push('interceptor');
            return call;
          },
        ],
      },
      onLoadPackageDefinition: (loaded) => {
        t.is(typeof loaded['test.v1.LedgerService'].Append.requestDeserialize, 'function');
        order.push('hook');
      },
    },
  });
  t.is((await app.append('ada', { key: 'k' })).code, status.OK);
  t.deepEqual(order, ['hook', 'interceptor', 'guard']);
});

test('the options of the application are not changed', (t) => {
  const guard = createReplayGuard({ store: new MemoryStore(), scope });
  t.teardown(async () => void (await guard.close()));
  const channelOptions = Object.freeze({ interceptors: Object.freeze([]) });
  t.notThrows(() => guardedGrpc(guard, Object.freeze({ ...loadsLedger, channelOptions })));
});

test.serial('an application whose transport has no guard causes a warning', async (t) => {
  const { options } = optionsThatCount({});
  const root = { module: class App {}, imports: [ReplayGuardModule.forRoot(options)] };
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  const app = await NestFactory.createApplicationContext(root, quietly);
  const warned = once(process, 'warning');
  mock.timers.tick(5_000);
  const [{ code, message }] = await warned;
  t.is(code, 'REPLAY_GUARD_NOT_PROTECTED');
  t.regex(message, /run unguarded: make its gRPC transport by guardedGrpc\(guard, options\)/);
  await app.close();
});

test('a refusal is a line of the logger of the application, with its fields', async (t) => {
  const lines: unknown[] = [];
  const logger = createNestLogger({
    log: (line) => lines.push(['log', line]),
    warn: (line) => lines.push(['warn', line]),
    error: (line) => lines.push(['error', line]),
  });
  const { options } = optionsThatCount({ observer: createLogObserver({ logger }) });
  const app = await startLedgerApp(t, { guard: ReplayGuardModule.forRoot(options) });
  t.is((await app.append('ada', { key: '' })).code, status.INVALID_ARGUMENT);
  const [[level, line = ''] = [], ...others] = lines as [string?, string?][];
  t.is(level, 'log');
  t.regex(line, /^a call was refused \{.*"reason":"IDEMPOTENCY_KEY_INVALID".*\}$/);
  t.deepEqual(others, []);
});
