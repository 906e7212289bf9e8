import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { poll } from '../helpers/waiting/poll.js';
import { replySink, responseSink } from './calls.js';
import { shopData } from './guarded-shop.js';
import { guardedValues } from './guarded-values.js';
import { activitySinks, disclosures, processSinks, type Sink } from './sinks.js';

const values = guardedValues();
const { key } = values.caller;

/** The sinks in which the key is found. */
const sinksWithKey = (sinks: Iterable<Sink>) =>
  disclosures(values.finder, sinks).map((line) => line.split(': key')[0]);

// Only Linux shows the arguments of processes as files.
const onLinux = process.platform === 'linux' ? test : test.skip;

for (const [what, program, expected] of [
  ['stdout', `process.stdout.write('a line ${key}\\n')`, 'output of a process'],
  ['stderr', `process.stderr.write('a line ${key}\\n')`, 'output of a process'],
  [
    'a line in two parts',
    `process.stdout.write('${key.slice(0, 9)}'); process.stdout.write('${key.slice(9)}')`,
    'output of a process',
  ],
  ['the name of the process', `process.title = '${key}'`, 'cmdline of a process'],
] as const) {
  const testHere = expected.startsWith('cmdline') ? onLinux : test;
  testHere(`a secret in ${what} is found`, async (t) => {
    // The program comes from stdin, because its text would be an argument.
    const child = spawn(process.execPath, ['-'], { stdio: 'pipe' });
    const output: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => output.push(chunk));
    child.stdin.end(`${program}; setInterval(() => {}, 1000)`);
    t.teardown(() => child.kill());
    const found = () => sinksWithKey(processSinks('a process', { pid: Number(child.pid), output }));
    await poll('the secret is found', () => found().includes(expected));
    t.pass();
  });
}

onLinux('a secret in an argument of a process is found', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', key]);
  t.teardown(() => child.kill());
  await once(child, 'spawn');
  t.deepEqual(sinksWithKey(processSinks('a process', { pid: Number(child.pid), output: [] })), [
    'cmdline of a process',
  ]);
});

test('a secret in each part of a reply is found', (t) => {
  const withKey = new Metadata();
  withKey.set('x-private', key);
  const inDetails = new Metadata();
  inDetails.set('grpc-status-details-bin', Buffer.from(`\n\u0018${key}`));
  const none = { code: status.INTERNAL, details: '', message: undefined, bytes: undefined };
  const empty = {
    ...none,
    initial: undefined,
    trailers: new Metadata(),
    replayed: false,
    statusDetails: undefined,
  };
  t.deepEqual(sinksWithKey([replySink(empty)]), []);
  for (const part of [
    { details: `no such ${key}` },
    { bytes: Buffer.from(key) },
    { initial: withKey },
    { trailers: withKey },
    { trailers: inDetails },
  ]) {
    t.deepEqual(sinksWithKey([replySink({ ...empty, ...part })]), ['reply INTERNAL to another caller']);
  }
});

test('a secret in each part of a response is found', async (t) => {
  for (const response of [
    new Response(`a page with ${key}`),
    new Response('', { headers: { location: `/${encodeURIComponent(key)}` } }),
    new Response('', { statusText: key }),
  ]) {
    t.deepEqual(sinksWithKey([await responseSink('a page', response)]), ['a page 200']);
  }
});

test('a secret in a notification, in the log and in a statement of Postgres is found', async (t) => {
  const data = await shopData(t, 'postgres', values);
  const { database } = await data.open({ maxConnections: 1 });
  await data.alter(`SELECT pg_notify('replay_guard_outbox', '${key}')`);
  await t.throwsAsync(data.alter(`SELECT no_such_function('${key}')`));
  await poll('all are found', async () => {
    const sinks = data.sinks();
    for await (const sink of activitySinks(database)) sinks.push(sink);
    return new Set(sinksWithKey(sinks)).size === 3;
  });
  t.pass();
});
