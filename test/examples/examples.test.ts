import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { CallSettings, Method, Reply } from '../helpers/calls/call.js';
import { administer } from '../helpers/databases/administer.js';
import { type Cleanup, freshDatabase } from '../helpers/databases/postgres.js';
import { connectTo } from '../helpers/servers/server.js';
import { poll } from '../helpers/waiting/poll.js';
import { startExample } from './example-process.js';
import { exampleNames, InstalledExamples, npm } from './installed.js';
import { assertCapturesOnce } from './nestjs-kysely.js';
import { assertConsumesOnce, assertReportsMissingBroker } from './rabbitmq-consumer.js';
import { startCollector } from './traces.js';

interface Example {
  readonly name: string;
  readonly engine: 'better-sqlite3' | 'pg' | undefined;
  /** Its other optional packages of the library. Default: none. */
  readonly optional?: readonly string[];
  /** The retention of its policy, in hours. */
  readonly retentionHours: number;
  /** NestJS does not report the bound port, so the test uses a Unix socket. */
  readonly socket?: 'unix';
  /** Further variables of its environment. Default: none. */
  readonly env?: Readonly<Record<string, string>>;
}

const examples: readonly Example[] = [
  { name: 'grpc-js-esm', engine: 'better-sqlite3', retentionHours: 48 },
  { name: 'grpc-js-cjs', engine: undefined, retentionHours: 24 },
  { name: 'nice-grpc', engine: 'better-sqlite3', retentionHours: 24 },
  {
    ...{ name: 'nestjs', engine: 'pg', retentionHours: 48, socket: 'unix' },
    optional: ['@nestjs/common', '@nestjs/microservices'],
  },
  { name: 'protobuf-es', engine: 'better-sqlite3', retentionHours: 24 },
  {
    ...{ name: 'opentelemetry', engine: 'pg', retentionHours: 48, optional: ['@opentelemetry/api'] },
    env: { OTEL_SDK_DISABLED: 'true' },
  },
  { name: 'ts-proto', engine: 'pg', retentionHours: 48 },
];

let installed: InstalledExamples;
const teardowns: Parameters<Cleanup['teardown']>[0][] = [];
test.before(async (t) => {
  t.timeout(300_000, 'installing from the registry');
  installed = await InstalledExamples.install({ teardown: (end) => teardowns.push(end) });
});
test.after.always(async () => {
  for (const end of teardowns) await end();
});

test.serial('every folder of examples has a test', async (t) => {
  const tested = [
    ...examples.map(({ name }) => name),
    'query-builders',
    'nestjs-kysely',
    'rabbitmq-consumer',
    'jest-vitest',
  ];
  t.deepEqual((await exampleNames()).sort(), tested.sort());
});

for (const example of examples) {
  test.serial(
    `${example.name}: the installed example replays duplicates and needs no other optional package`,
    async (t) => {
      t.timeout(120_000, 'building');
      const { name, engine, optional = [] } = example;
      const folder = await installed.copy(name);
      t.deepEqual(await installed.visible(), [...(engine ? [engine] : []), ...optional].sort());

      const env = await settings(t, example, folder);
      const { charge, paymentsOf } = clientOf(t, folder);
      const before = await startExample(t, folder, env);
      const first = await charge(before.address, { account: 'ada', amount: 5 }, { key: 'k' });
      t.like(first, { code: status.OK, replayed: false });
      t.is(retainedHours(first), example.retentionHours);
      assertReplay(t, await charge(before.address, { account: 'ada', amount: 5 }, { key: 'k' }), first);
      const other = await charge(before.address, { account: 'ada', amount: 6 }, { key: 'k' });
      assertRefused(t, other, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
      const keyless = await charge(before.address, { account: 'ada', amount: 5 });
      assertRefused(t, keyless, status.INVALID_ARGUMENT, 'IDEMPOTENCY_KEY_MISSING', 'BadRequest');
      t.deepEqual(await paymentsOf(before.address, 'ada'), [first.message?.paymentId]);
      t.deepEqual(await before.stop(), { code: 0, stderr: '' });

      if (!example.engine) return;
      const after = await startExample(t, folder, env);
      assertReplay(t, await charge(after.address, { account: 'ada', amount: 5 }, { key: 'k' }), first);
      t.deepEqual(await paymentsOf(after.address, 'ada'), [first.message?.paymentId]);
    },
  );
}

test.serial('query-builders: with each builder the installed example writes a payment once', async (t) => {
  t.timeout(120_000, 'several servers');
  const folder = await installed.copy('query-builders');
  t.deepEqual(await installed.visible(), ['drizzle-orm', 'knex', 'kysely', 'pg']);
  const names = (await readdir(join(folder, 'builders'))).map((file) => file.replace(/\.js$/, ''));
  t.deepEqual(names.sort(), ['drizzle', 'knex', 'kysely', 'pg', 'typeorm']);
  const { charge, paymentsOf } = clientOf(t, folder);
  for (const name of names) {
    const DATABASE_URL = await freshDatabase(t);
    const env = { GRPC_ADDRESS: '127.0.0.1:0', DATABASE_URL, BUILDER: name };
    const { address, stop } = await startExample(t, folder, env);
    const first = await charge(address, { account: 'ada', amount: 5 }, { key: 'k' });
    t.like(first, { code: status.OK, replayed: false }, name);
    assertReplay(t, await charge(address, { account: 'ada', amount: 5 }, { key: 'k' }), first);
    await charge(address, { account: 'ada', amount: 5 }, { key: 'other' });
    t.is((await paymentsOf(address, 'ada'))?.length, 2, name);
    const counted = await administer(DATABASE_URL, 'SELECT payments::int AS payments FROM accounts');
    t.deepEqual(counted, [{ payments: 2 }], name);
    t.deepEqual(await stop(), { code: 0, stderr: '' }, name);
  }
});

test.serial('nestjs-kysely: two installed servers capture a payment once', async (t) => {
  t.timeout(120_000, 'building');
  const folder = await installed.copy('nestjs-kysely');
  const optional = ['@nestjs/common', '@nestjs/microservices', '@opentelemetry/api', 'kysely', 'pg'];
  t.deepEqual(await installed.visible(), optional);
  await assertCapturesOnce(t, folder);
});

test.serial(
  'opentelemetry: one trace leads from a call to its delivery, and a replay links to it',
  async (t) => {
    t.timeout(120_000, 'starting');
    const folder = await installed.copy('opentelemetry');
    const collector = await startCollector(t);
    const env = { ...collector.env, GRPC_ADDRESS: '127.0.0.1:0', DATABASE_URL: await freshDatabase(t) };
    const example = await startExample(t, folder, env);
    const { charge } = clientOf(t, folder);
    const request = { account: 'ada', amount: 5 };
    const first = await charge(example.address, request, { key: 'k' });
    assertReplay(t, await charge(example.address, request, { key: 'k' }), first);
    const named = (name: string) => collector.spans.filter((span) => span.name === name);
    await poll('the receipt is written', () => named('process receipts').length === 1);
    t.deepEqual(await example.stop(), { code: 0, stderr: '' });

    const [call, replay] = named('example.v1.Payments/Charge');
    const [delivery] = named('deliver receipts');
    const [processing] = named('process receipts');
    t.is(call?.parentSpanId || undefined, undefined);
    t.is(replay?.links?.[0]?.spanId, call?.spanId);
    t.like(delivery, { traceId: call?.traceId, parentSpanId: call?.spanId });
    t.like(processing, { traceId: call?.traceId, parentSpanId: delivery?.spanId });
    const statements = collector.spans.filter(({ name }) => name.startsWith('pg.query:'));
    t.true(statements.some(({ parentSpanId }) => parentSpanId === call?.spanId));
    t.true(statements.some(({ parentSpanId }) => parentSpanId === processing?.spanId));
    t.true(statements.every(({ parentSpanId }) => parentSpanId));
    for (const metric of ['replay_guard.calls', 'replay_guard.outbox.delivered', 'replay_guard.messages'])
      t.true(collector.metrics.has(metric), metric);
  },
);

test.serial('rabbitmq-consumer: the installed example processes each message once', async (t) => {
  t.timeout(300_000, 'installing from the registry');
  const folder = await installed.copy('rabbitmq-consumer');
  t.deepEqual(await installed.visible(), ['@opentelemetry/api', 'pg']);
  await assertReportsMissingBroker(t, folder);
  await assertConsumesOnce(t, folder);
});

test.serial('jest-vitest: the tests of a CommonJS project pass under Jest and under Vitest', async (t) => {
  t.timeout(120_000, 'two test runners');
  const folder = await installed.copy('jest-vitest');
  t.deepEqual(await installed.visible(), ['better-sqlite3']);
  const jest = await npm(folder, 'run', 'test:jest', '--', '--detectOpenHandles');
  t.regex(jest.stderr, /^Tests: +3 passed, 3 total$/m);
  t.notRegex(jest.stderr, /open handle/);
  const vitest = await npm(folder, 'run', 'test:vitest');
  t.regex(vitest.stdout, /^ *Tests +3 passed \(3\)$/m);
});

async function settings(t: Cleanup, { engine, socket, env }: Example, folder: string) {
  return {
    ...env,
    GRPC_ADDRESS: socket ? `unix:${join(folder, 'grpc.sock')}` : '127.0.0.1:0',
    ...(engine === 'pg' && { DATABASE_URL: await freshDatabase(t) }),
  };
}

interface ChargeRequest {
  account: string;
  amount: number;
}

/** Makes a client of the example's service. Each call uses a new connection. */
function clientOf(t: Cleanup, folder: string) {
  const includeDirs = [folder, fileURLToPath(new URL('../../../proto/', import.meta.url))];
  const service = loadSync('payments.proto', { includeDirs })['example.v1.Payments'] as unknown as {
    Charge: Method<ChargeRequest, { paymentId: string }>;
    GetAccount: Method<{ account: string }, { paymentIds?: string[] }>;
  };
  return {
    charge: (address: string, request: ChargeRequest, settings?: CallSettings) =>
      connectTo(t, address).call(service.Charge, request, settings),
    paymentsOf: async (address: string, account: string) =>
      (await connectTo(t, address).call(service.GetAccount, { account })).message?.paymentIds,
  };
}

function assertReplay(t: ExecutionContext, reply: Reply<unknown>, first: Reply<unknown>): void {
  t.like(reply, { code: status.OK, replayed: true });
  t.true((first.bytes?.length ?? 0) > 30);
  t.deepEqual(reply.bytes, first.bytes);
}

function retainedHours({ trailers }: Reply<unknown>): number {
  const [expiry] = trailers.get('idempotency-expires-at');
  return Math.round((Date.parse(String(expiry)) - Date.now()) / 3_600_000);
}
