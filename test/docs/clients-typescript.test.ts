import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createRetryServiceConfig } from 'grpc-replay-guard/client';
import { readConfig } from '#src/config/config.js';
import { createLog } from '#src/platform/log.js';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { startShop } from '#src/shop.js';
import { Connection } from '../helpers/calls/call.js';
import { freshData } from '../helpers/databases/engines.js';
import { type ProxyAction, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { output, snippets } from './snippets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The buf.gen.yaml of a reader's project. */
const template = (out: string) =>
  JSON.stringify({
    version: 'v2',
    plugins: [
      {
        local: 'protoc-gen-ts_proto',
        out,
        opt: ['outputServices=grpc-js', 'esModuleInterop=true', 'importSuffix=.js'],
      },
    ],
  });

const main = `
import { finish, placeOrder } from './place-order.js';

const [, , ...presses] = process.argv;
const order = (quantity: string) => ({
  customerId: 'ada',
  lines: [{ sku: 'tea', quantity: Number(quantity), unitPriceMinor: 0 }],
  labels: { gift: 'yes' },
});
const pressed = presses.map((quantity) => placeOrder(order(quantity)));
for (const answer of pressed.length > 0 ? pressed : [finish()]) console.log(await answer);
process.exit();
`;

const importing = `
import { importOrders } from './import-orders.js';

const [, , ...skus] = process.argv;
const order = (sku: string) => ({ customerId: 'file', lines: [{ sku, quantity: 1, unitPriceMinor: 0 }], labels: {} });
await importOrders('orders', skus.map(order));
console.log('imported');
process.exit();
`;

/** Compiles a project with the snippets. The project is deleted after the test. */
async function project(t: ExecutionContext): Promise<string> {
  // The folder is inside the repository, so Node finds the installed packages.
  const folder = await mkdtemp(join(root, 'dist/snippets-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const bin = `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`;
  const sources = ['proto', '--path', 'proto/shop/order', '--template', template(join(folder, 'gen'))];
  await output('buf', ['generate', ...sources], { cwd: root, env: { ...process.env, PATH: bin } });
  const named = snippets('docs/guide/clients.md', 'ts').map(
    (code) => [/^\/\/ (\S+)\n/.exec(code)?.[1], code] as const,
  );
  t.deepEqual(
    named.map(([name]) => name),
    ['orders.ts', 'place-order.ts', 'import-orders.ts'],
  );
  const files = [...named, ['main.ts', main], ['importing.ts', importing]] as const;
  for (const [name, code] of files) await writeFile(join(folder, String(name)), code);
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, types: ['node'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  await output(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  return folder;
}

/** Starts a shop with ten pieces of tea, and compiles a project with the snippets. */
async function shopAndProject(t: ExecutionContext) {
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
  const orderIds = async (customerId: string) => {
    const listed = await connection.call(orderService.ListOrders, { customerId });
    t.is(listed.code, status.OK);
    return listed.message?.orders.map((order) => order.orderId).sort();
  };
  return { address, folder, orderIds };
}

test('a stopped importer continues after its last imported line, also if it stopped while it saved its progress', async (t) => {
  const { address, folder, orderIds } = await shopAndProject(t);
  const env = { ...process.env, SHOP_ADDRESS: address };
  const lines = ['tea', 'no-such-tea', 'tea', 'tea', 'tea', 'tea'];
  const run = (skus: string[]) => output(process.execPath, ['importing.js', ...skus], { cwd: folder, env });
  t.is(await run(lines), 'imported\n');
  t.is((await orderIds('file'))?.length, 5);

  // With this limit, opening a file may truncate the file, but no data can be written.
  const stopped = ['-c', 'ulimit -f 0 && exec "$0" "$@"', process.execPath, 'importing.js', ...lines, 'tea'];
  await t.throwsAsync(output('bash', stopped, { cwd: folder, env }));
  t.is((await orderIds('file'))?.length, 6, 'the import placed the next order before it failed');
  t.is(await run([...lines, 'tea', 'tea']), 'imported\n');
  t.is((await orderIds('file'))?.length, 7);

  // An importer that cannot read its progress fails. It must not start from the first line again.
  const reached = join(folder, 'orders.reached');
  await rm(reached);
  await mkdir(reached);
  await t.throwsAsync(run(lines), { message: /EISDIR/ });
});

test('the TypeScript snippets compile, survive a kill, and place one order for each press of the button', async (t) => {
  const { address, folder, orderIds: ordersOf } = await shopAndProject(t);
  const orderIds = () => ordersOf('ada');
  const placed = new Barrier();
  let held = true;
  const proxy = await startGrpcProxy(t, address, {
    reply: async (): Promise<ProxyAction> => {
      if (held) await placed.pass();
      return 'pass';
    },
  });
  const env = { ...process.env, SHOP_ADDRESS: proxy.address };
  const run = (...presses: string[]) =>
    output(process.execPath, ['main.js', ...presses], { cwd: folder, env });
  const killed = async (attempts: number, quantity: string) => {
    const pressed = spawn(process.execPath, ['main.js', quantity], { cwd: folder, env, stdio: 'inherit' });
    const ended = once(pressed, 'exit');
    await placed.reached(attempts);
    pressed.kill('SIGKILL');
    await ended;
  };
  const pendingKey = async () =>
    JSON.parse(await readFile(join(folder, 'pending.json'), 'utf8')).intent.key as string;
  const keys = () => proxy.calls.map(({ headers }) => headers['idempotency-key']);

  // The client is killed while it waits for the reply. The client of a second press finds the pending order, and is
  // killed too.
  await killed(1, '2');
  const key = await pendingKey();
  await killed(2, '3');
  t.is(await pendingKey(), key, 'the first key is still stored');
  held = false;
  const before = await run('3');
  const [, first = ''] = /^the order before this one: order (\S+)\n$/.exec(before) ?? [];
  t.deepEqual(await orderIds(), [first]);
  t.deepEqual(keys(), [key, key, key]);

  // Two concurrent presses of the button place one order, with the quantity of the first press.
  const [answer, same] = (await run('3', '4')).split('\n');
  t.is(same, answer);
  const [, second = ''] = /^order (\S+)$/.exec(String(answer)) ?? [];
  t.deepEqual(await orderIds(), [first, second].sort());

  // A refusal at the first attempt, stored or not, does not block the next press of the button.
  t.regex(await run('100'), /^no order: /);
  t.regex(await run('0'), /^no order: /);
  t.is(new Set(keys()).size, 4);

  // After a kill, the program finishes the pending order at its next start.
  held = true;
  await killed(3, '5');
  held = false;
  t.regex(await run(), /^order \S+\n$/);
  t.is((await orderIds())?.length, 3);
  const left = await readdir(folder);
  t.deepEqual(left.filter((name) => name.endsWith('.json')).sort(), ['package.json', 'tsconfig.json']);
});

test('the service configs are valid JSON, and the first equals the config that the library creates', (t) => {
  const [retries, hedges] = snippets('docs/guide/clients.md', 'json').map((json) => JSON.parse(json));
  t.deepEqual(retries, createRetryServiceConfig());
  t.deepEqual(Object.keys(hedges.methodConfig[0]), ['name', 'hedgingPolicy']);
});
