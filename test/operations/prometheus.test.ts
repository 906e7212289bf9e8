import test, { type ExecutionContext } from 'ava';
import { inventoryService, orderService } from '#src/rpc/definitions.js';
import { post } from '../helpers/messages/signed-webhook.js';
import { hasPrometheus, startPrometheus } from '../helpers/processes/prometheus.js';
import { connectTo } from '../helpers/servers/server.js';
import { poll } from '../helpers/waiting/poll.js';
import { alertRules, FOLDER } from './alert-rules.js';
import { readPanels, sentExpression } from './dashboard.js';
import { openShop, pageOf } from './scrape.js';

const DAY_S = 86_400;
/** The window of rates, in seconds. Prometheus scrapes several times within it. */
const WINDOW_S = 60;

/** Sends calls of the usual kinds: new keys, a duplicate, a key with another request, a read, a message. */
async function load(t: ExecutionContext, address: string, opsPort: number): Promise<void> {
  const connection = connectTo(t, address);
  const item = { sku: 'tea', name: 'tea', unitPriceMinor: '450', currency: 'EUR' };
  await connection.call(inventoryService.PutItem, item);
  const receive = (quantity: number) =>
    connection.call(inventoryService.ReceiveStock, { sku: 'tea', quantity }, { key: 'stock' });
  const codes = [await receive(9), await receive(9), await receive(8)].map(({ code }) => code);
  t.deepEqual(codes, [0, 0, 9]);
  const order = { customerId: 'ada', lines: [{ sku: 'tea', quantity: 1 }] };
  t.is((await connection.call(orderService.PlaceOrder, order, { key: 'order' })).code, 0);
  t.is((await connection.call(inventoryService.GetItem, { sku: 'tea' })).code, 0);
  t.is(
    (await post(opsPort, { body: { type: 'goods.received', data: { sku: 'tea', quantity: 1 } } })).status,
    200,
  );
}

/**
 * Returns samples of the counter of calls around the same time of the day before, in the OpenMetrics format. The counters grow by one
 * in each step.
 * @param page the page of the server, whose series get these samples
 */
function dayBefore(page: string, labels: string): string {
  const series = [...page.matchAll(/^replay_guard_calls_total\{(.*)\} /gm)].map(
    ([, own]) => `{${own},${labels}}`,
  );
  const start = Math.floor(Date.now() / 1_000) - DAY_S - WINDOW_S;
  const lines = series.flatMap((of) =>
    Array.from({ length: 60 }, (_, step) => `replay_guard_calls_total${of} ${step} ${start + 5 * step}`),
  );
  return ['# TYPE replay_guard_calls counter', ...lines, '# EOF', ''].join('\n');
}

/** Returns the operands of `and`, `or` and `unless`, with comparisons that give 0 or 1, so that healthy servers give series too. */
function operandsOf(expression: string): string[] {
  const compared = expression.replaceAll(/ (>=|>|==) /g, ' $1 bool ');
  return compared.split(/\s(?:and|or|unless)\s/).map((operand) => operand.trim());
}

test('each query of the dashboard and of the rules gives series in a Prometheus that scrapes a shop with calls', async (t) => {
  if (!(await hasPrometheus())) {
    t.log('Prometheus is not installed, so no query of the dashboard and of the rules was run');
    return;
  }
  const shop = await openShop(t);
  const target = `127.0.0.1:${shop.ops.port}`;
  const history = dayBefore(await pageOf(target), `job="shop",instance="${target}"`);
  const settings = {
    job: 'shop',
    targets: [target],
    intervalMs: 500,
    rules: `${FOLDER}/alerts.yml`,
    history,
  };
  const prometheus = await startPrometheus(t, settings);
  const scrapes = async () =>
    (await prometheus.query('count_over_time(shop_ready[5m])'))[0]?.samples[0]?.[1] ?? 0;
  await poll('the first scrape', async () => (await scrapes()) > 0);
  await load(t, `127.0.0.1:${shop.grpc.port}`, shop.ops.port);
  const before = await scrapes();
  await poll('two scrapes after the calls', async () => (await scrapes()) > before + 1);

  const queries = (await readPanels()).flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }): [string, string] => [title, sentExpression(expr, 'shop', `${WINDOW_S}s`)]),
  );
  const rules = await alertRules();
  for (const { name, expression } of rules)
    for (const operand of operandsOf(expression)) queries.push([name, operand]);
  t.true(queries.length > 50);
  for (const [name, query] of queries) t.not((await prometheus.query(query)).length, 0, `${name}: ${query}`);

  await poll(
    'the evaluation of all rules',
    async () => ![...(await prometheus.rules()).values()].includes('unknown'),
  );
  t.deepEqual(await prometheus.rules(), new Map(rules.map(({ name }) => [name, 'ok'])));
  const [reused] = await prometheus.query('ALERTS{alertname="ReplayGuardKeyReused"}');
  t.like(reused?.labels, { method: 'ReceiveStock', job: 'shop', alertstate: 'firing' });
});
