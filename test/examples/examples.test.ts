import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../helpers/calls/assert-refused.js';
import type { CallSettings, Method, Reply } from '../helpers/calls/call.js';
import { type Cleanup, freshDatabase } from '../helpers/databases/postgres.js';
import { connectTo } from '../helpers/servers/server.js';
import { startExample } from './example-process.js';
import { installExample, packLibrary } from './installed.js';
import { assertConsumesOnce, assertReportsMissingBroker } from './rabbitmq-consumer.js';

interface Example {
  readonly name: string;
  /** The only engine that the example installs. */
  readonly engine: 'better-sqlite3' | 'pg' | undefined;
  /** The retention of its policy, in hours. */
  readonly retentionHours: number;
  /** NestJS does not report the bound port, so the test uses a Unix socket. */
  readonly socket?: 'unix';
}

const examples: readonly Example[] = [
  { name: 'grpc-js-esm', engine: 'better-sqlite3', retentionHours: 48 },
  { name: 'grpc-js-cjs', engine: undefined, retentionHours: 24 },
  { name: 'nice-grpc', engine: 'better-sqlite3', retentionHours: 24 },
  { name: 'nestjs', engine: 'pg', retentionHours: 48, socket: 'unix' },
  { name: 'kysely', engine: 'pg', retentionHours: 48 },
  { name: 'ts-proto', engine: 'pg', retentionHours: 48 },
];

let tarball: string;
const teardowns: Parameters<Cleanup['teardown']>[0][] = [];
test.before(async () => {
  tarball = await packLibrary({ teardown: (end) => teardowns.push(end) });
});
test.after.always(async () => {
  for (const end of teardowns) await end();
});

test('every folder of examples has a test', (t) => {
  const folder = fileURLToPath(new URL('../../../examples/', import.meta.url));
  const folders = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const tested = [...examples.map(({ name }) => name), 'rabbitmq-consumer'];
  t.deepEqual(folders.map(({ name }) => name).sort(), tested.sort());
});

for (const example of examples) {
  test.serial(
    `${example.name}: the installed example replays duplicates and has no other engine`,
    async (t) => {
      t.timeout(300_000, 'installing from the registry');
      const folder = await installExample(t, example.name, tarball);
      const engines = ['better-sqlite3', 'pg', 'prom-client'];
      const installed = engines.filter((engine) => existsSync(join(folder, 'node_modules', engine)));
      t.deepEqual(installed, example.engine ? [example.engine] : []);

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

test.serial('rabbitmq-consumer: the installed example processes each message once', async (t) => {
  t.timeout(300_000, 'installing from the registry');
  const folder = await installExample(t, 'rabbitmq-consumer', tarball);
  t.false(existsSync(join(folder, 'node_modules', 'better-sqlite3')));
  await assertReportsMissingBroker(t, folder);
  await assertConsumesOnce(t, folder);
});

async function settings(t: Cleanup, { engine, socket }: Example, folder: string) {
  return {
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
