import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { retryServiceConfig } from 'grpc-replay-guard/client';
import { readConfig } from '#src/config.js';
import { createLog } from '#src/log.js';
import { inventoryService, orderService } from '#src/rpc/services.js';
import { startShop } from '#src/shop.js';
import { Barrier } from '../helpers/barrier.js';
import { Connection } from '../helpers/call.js';
import { freshData } from '../helpers/engines.js';
import { type Fate, startGrpcProxy } from '../helpers/grpc-proxy.js';
import { output, snippets } from './snippets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What ts-proto would generate, as far as the snippets use it. */
const generated = `
import { fileURLToPath } from 'node:url';
import {
  type CallOptions, type ChannelCredentials, type ChannelOptions, type ClientUnaryCall, type Interceptor,
  type Metadata, type ServiceDefinition, type ServiceError, makeGenericClientConstructor,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface PlaceOrderRequest {
  customerId: string;
  lines: { sku: string; quantity: number }[];
}
export interface PlaceOrderResponse {
  order?: { orderId: string };
}
const loaded = loadSync('shop/order/v1/order_service.proto', { includeDirs: [${JSON.stringify(`${root}proto`)}] });
type Options = Partial<ChannelOptions & { interceptors: Interceptor[] }>;
export const OrderServiceClient = makeGenericClientConstructor(
  loaded['shop.order.v1.OrderService'] as ServiceDefinition,
  'OrderService',
) as unknown as new (address: string, credentials: ChannelCredentials, options?: Options) => {
  placeOrder(
    request: PlaceOrderRequest,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: PlaceOrderResponse) => void,
  ): ClientUnaryCall;
};
`;

const main = `
import { finish, placeOrder } from './place-order.js';

const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity: Number(process.argv[3]) }] };
console.log(process.argv[2] === 'press' ? await placeOrder(order) : await finish());
process.exit();
`;

/** A project with the snippets in it, compiled; gone after the test. */
async function project(t: ExecutionContext): Promise<string> {
  // Inside the repository, where the packages are found.
  const folder = await mkdtemp(join(root, 'dist/snippets-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'gen'));
  const named = snippets('clients.md', 'ts').map((code) => [/^\/\/ (\S+)\n/.exec(code)?.[1], code] as const);
  t.deepEqual(
    named.map(([name]) => name),
    ['orders.ts', 'place-order.ts', 'import-orders.ts'],
  );
  const files = [...named, ['gen/order_service.ts', generated], ['main.ts', main]] as const;
  for (const [name, code] of files) await writeFile(join(folder, String(name)), code);
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, types: ['node'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  await output(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  return folder;
}

test('the TypeScript snippets compile, survive a kill, and place one order', async (t) => {
  t.timeout(180_000);
  const { url } = await freshData(t, 'sqlite');
  const listeners = { GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'silent' };
  const config = readConfig({ ...listeners, DATABASE_URL: url });
  const shop = await startShop(config, createLog(config.logLevel), new AbortController().signal);
  t.teardown(() => shop.stop());
  const address = `127.0.0.1:${shop.grpc.port}`;
  const connection = new Connection(address, credentials.createInsecure());
  t.teardown(() => connection.close());
  const item = { sku: 'tea', name: 'Green tea', unitPriceMinor: '450', currency: 'EUR' };
  await connection.call(inventoryService.PutItem, item, { key: 'item' });
  await connection.call(inventoryService.ReceiveStock, { sku: 'tea', quantity: 10 }, { key: 'delivery' });

  const folder = await project(t);
  const placed = new Barrier();
  let held = true;
  const proxy = await startGrpcProxy(t, address, {
    reply: async (): Promise<Fate> => {
      if (held) await placed.pass();
      return 'pass';
    },
  });
  const env = { ...process.env, SHOP_ADDRESS: proxy.address };
  const pressed = spawn(process.execPath, ['main.js', 'press', '2'], { cwd: folder, env, stdio: 'inherit' });
  const ended = once(pressed, 'exit');
  await placed.reached();
  pressed.kill('SIGKILL');
  await ended;
  t.true(existsSync(join(folder, 'pending.json')));
  held = false;

  const finished = await output(process.execPath, ['main.js', 'finish'], { cwd: folder, env });
  const [, orderId] = /^order (\S+)\n$/.exec(finished) ?? [];
  const listed = await connection.call(orderService.ListOrders, { customerId: 'ada' });
  t.deepEqual(
    listed.message?.orders.map((order) => order.orderId),
    [orderId],
  );
  t.is(listed.code, status.OK);
  t.false(existsSync(join(folder, 'pending.json')));
  const refused = await output(process.execPath, ['main.js', 'press', '100'], { cwd: folder, env });
  t.regex(refused, /^no order: /);
  t.false(existsSync(join(folder, 'pending.json')));
  const attempts = proxy.calls.map(({ headers }) => headers['idempotency-key']);
  t.deepEqual([attempts.length, new Set(attempts).size], [3, 2]);
});

test('the service configs are JSON, and the first is the one that the library makes', (t) => {
  const [retries, hedges] = snippets('clients.md', 'json').map((json) => JSON.parse(json));
  t.deepEqual(retries, retryServiceConfig());
  t.deepEqual(Object.keys(hedges.methodConfig[0]), ['name', 'hedgingPolicy']);
});
