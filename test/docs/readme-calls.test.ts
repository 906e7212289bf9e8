import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { freshFolder } from '../helpers/databases/engines.js';
import { ServerProcess } from '../helpers/processes/shop-process.js';
import { output, snippets, succeeds } from './snippets.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const shell = snippets('README.md', 'sh');
const find = (text: string) => shell.find((block) => block.includes(text)) ?? '';
const calls = find('shop=http');
const readme = readFileSync(`${root}/README.md`, 'utf8');
/** The README's blocks of output. They have no language. */
const printed = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].flatMap(([, tag, text = '']) =>
  tag ? [] : [text],
);

/** Two runs differ in their times only. Its ids follow from the key. */
const withoutTimes = (text: string) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME');

/** Starts the shop on SQLite, and returns a function that runs commands of the README against it. */
async function startShop(t: ExecutionContext) {
  const shop = new ServerProcess(t, { DATABASE_URL: `sqlite:${await freshFolder(t)}/shop.db` });
  const address = await shop.grpcAddress();
  const prepare = (commands: string) => commands.replaceAll('127.0.0.1:50051', address);
  return {
    run: (commands: string) =>
      output('bash', ['-ec', `{ ${prepare(commands)}\n} 2>&1`], { cwd: root, env: process.env }),
    /** Resolves to the output of commands whose last one fails. */
    fail: async (commands: string): Promise<string> => {
      const args = ['-c', `{ ${prepare(commands)}\n} 2>&1`];
      const ended = await promisify(execFile)('bash', args, { cwd: root }).catch((error) => error);
      t.not(ended.code, undefined, 'the last command fails');
      return ended.stdout;
    },
  };
}

function assertPrints(t: ExecutionContext, text: string, part: string): void {
  const expected = printed.find((block) => block.includes(part));
  t.truthy(expected, `the README prints ${part}`);
  for (const line of withoutTimes(String(expected)).trimEnd().split('\n'))
    t.true(withoutTimes(text).includes(line.replace(/\(#\d\)/, '(#2)')), `${line} is in ${text}`);
}

const otherQuantity = (commands: string) => commands.replace('"quantity":2', '"quantity":3');
/** Returns the commands without those before the last call. */
const lastCall = (commands: string, start: string) => commands.slice(commands.lastIndexOf(start));

test('the buf calls of the README print what it says', async (t) => {
  const shop = await startShop(t);
  const placed = await shop.run(calls);
  assertPrints(t, placed, '"orderId"');
  const setup = calls.slice(0, calls.indexOf('call -d'));
  const place = lastCall(calls, 'call -v');
  assertPrints(t, await shop.run(setup + place), 'Idempotent-Replayed');
  const refused = await shop.fail(setup + otherQuantity(place.replace('-v ', '')));
  assertPrints(t, refused, '"code": "failed_precondition"');
});

test('the grpcurl calls of the README print the order, its replay, a refusal and the policy', async (t) => {
  if (!(await succeeds('grpcurl', ['-version']))) {
    t.log('did not run: this machine has no grpcurl');
    return t.pass();
  }
  const shop = await startShop(t);
  const commands = calls
    .split('\n')
    .filter((line) => line.startsWith('# '))
    .map((line) => line.slice(2))
    .join('\n');
  t.is(commands.match(/^grpcurl/gm)?.length, 3);
  const placed = await shop.run(commands);
  t.regex(placed, /"onHand": "10"/);
  const order = printed.find((block) => block.includes('"orderId"')) ?? '';
  t.true(withoutTimes(placed).includes(withoutTimes(order.slice(order.indexOf('{'))).trim()), placed);
  const place = lastCall(commands, 'grpcurl');
  t.regex(await shop.run(place), /^idempotent-replayed: true$/m);
  assertPrints(t, await shop.fail(otherQuantity(place)), '"reason": "IDEMPOTENCY_KEY_REUSED"');
  assertPrints(t, await shop.run(find('describe ')), 'option (.replayguard.v1.policy)');
  const health = 'grpcurl -plaintext 127.0.0.1:50051 grpc.health.v1.Health/Check';
  t.deepEqual(JSON.parse(await shop.run(health)), { status: 'SERVING' });
});
