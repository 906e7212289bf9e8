import { status } from '@grpc/grpc-js';
import test from 'ava';
import { createConsumer } from 'grpc-replay-guard/consumer';
import {
  CommitInDoubtError,
  DatabaseReadOnlyError,
  DatabaseUnavailableError,
  LockTimeoutError,
} from 'grpc-replay-guard/database';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { createOutbox, createRelay, WakeUpsError } from 'grpc-replay-guard/outbox';
import { REASONS } from 'grpc-replay-guard/protocol';
import { pino } from 'pino';
import { freshData } from '../helpers/databases/engines.js';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { poll } from '../helpers/waiting/poll.js';

type Line = Record<string, unknown> & { readonly text: string; readonly severity: string };

/** An observer whose lines are recorded. */
function record() {
  const lines: Line[] = [];
  const at = (severity: string) => (fields: object, text: string) =>
    lines.push({ ...fields, text, severity });
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { lines, logger, observer: createLogObserver({ logger }) };
}

const method = { service: 'test.v1.LedgerService', method: 'Append' };
const down = new DatabaseUnavailableError('the database cannot be reached');
const GONE = 'the database is unavailable';
const BACK = 'the database is available again';

test('a refused call has one line with method, reason, status, peer and a digest, and no key or scope', async (t) => {
  const { lines, observer } = record();
  const scope = () => 'customer-4711';
  const ledger = await openLedger(t, 'sqlite', { guard: { scope, observer } });
  for (const amountMinor of [1, 2, 3, 4]) await ledger.append('secret-key', { amountMinor });
  t.is(lines.length, 1, 'the third refusal is suppressed');
  const { peer, ...line } = lines[0] as Line;
  t.regex(String(peer), /^127\.0\.0\.1:\d+$/);
  t.deepEqual(line, {
    ...method,
    ...{ reason: REASONS.KEY_REUSED, code: 9, scopeDigest: ledger.guard.scopeDigest('customer-4711') },
    ...{ text: 'a call was refused', severity: 'warn' },
  });
  t.notRegex(JSON.stringify(lines), /secret-key|customer-4711/);
});

test('the line about suppressed refusals names the peer of the last one, also after its client has left', async (t) => {
  const { lines, logger } = record();
  const observer = createLogObserver({ logger, intervalMs: 200 });
  const ledger = await openLedger(t, 'sqlite', { guard: { observer } });
  for (const amountMinor of [1, 2, 3]) await ledger.append('key', { amountMinor });
  ledger.connection.client.close();
  await poll('the line about the suppressed refusal', () => lines.length > 1);
  t.regex(String(lines[1]?.peer), /^127\.0\.0\.1:\d+$/);
});

test('ten thousand refusals for each reason have one line for each reason', (t) => {
  const { lines, observer } = record();
  const reasons = Object.values(REASONS);
  for (let call = 0; call < 10_000; call++)
    for (const reason of reasons)
      observer.callRefused(method, {
        reason,
        code: 9,
        peer: `peer ${call}`,
        scopeDigest: `d${call}`,
        quota: undefined,
      });
  t.deepEqual(
    lines.map(({ reason }) => reason),
    reasons,
  );
});

test('each reason and each method has a line of its own', (t) => {
  const { lines, observer } = record();
  const refusal = { code: 9, peer: 'p', scopeDigest: undefined, quota: undefined };
  for (const name of ['Append', 'Transfer'])
    for (const reason of Object.values(REASONS))
      for (const _ of [1, 2]) observer.callRefused({ ...method, method: name }, { ...refusal, reason });
  t.is(lines.length, 2 * Object.keys(REASONS).length);
  t.is(new Set(lines.map((line) => `${line.method} ${line.reason}`)).size, lines.length);
});

test('all parts share one line when an outage begins and one when it ends', (t) => {
  const { lines, observer } = record();
  const { failures } = observer;
  observer.storeUsed('claim', 0, down);
  for (let attempt = 0; attempt < 20; attempt++) {
    observer.storeUsed('find', 0, new DatabaseReadOnlyError('read-only'));
    observer.storeUsed('complete', 0, new CommitInDoubtError('no answer'));
    observer.errorOccurred(new Error('a run failed', { cause: down }));
    observer.handlerFailed(method, down);
    observer.purgeFailed(down);
    failures.failed({ part: 'holds', error: down, text: 'overdue holds could not be read' });
    const refusal = { reason: REASONS.STORE_UNAVAILABLE, code: 14, peer: 'p', scopeDigest: undefined };
    observer.callRefused(method, { ...refusal, quota: undefined });
  }
  observer.circuitChanged(true);
  failures.blocked('readiness', down, { reason: GONE });
  t.deepEqual(
    lines.map(({ text, severity, part }) => [text, severity, part]),
    [[GONE, 'error', 'guard']],
  );
  observer.circuitChanged(false);
  failures.worked('holds');
  t.is(lines.length, 1, 'the server is not ready yet');
  failures.unblocked('readiness');
  t.like(lines[1], { text: BACK, severity: 'info', failures: 122, seconds: 0 });
  observer.recovered();
  observer.messagesPurged(0);
  t.is(lines.length, 2);
});

for (const [title, pass] of Object.entries({
  'passes the error to its callback': (error: Error, callback: (error: Error) => void) => callback(error),
  'throws an error of its own': () => {
    throw new Error('the order could not be placed');
  },
}))
  test(`postgres: a lost connection has one line about the outage if the handler ${title}`, async (t) => {
    const { lines, observer } = record();
    const ledger = await openLedger(t, 'postgres', {
      guard: { observer },
      handlers: (database) => ({
        Append: async (_call, callback) => {
          const lost = database.query('SELECT pg_terminate_backend(pg_backend_pid())');
          await lost.catch((error: Error) => pass(error, callback));
        },
      }),
    });
    t.is((await ledger.append('key')).code, status.UNAVAILABLE);
    await poll('the line about the outage', () => lines.length > 0);
    t.is(lines[0]?.text, GONE);
    t.false(lines.some(({ text }) => text === 'a call was refused'));
  });

test('a refusal soon after the end of an outage has no line of its own', (t) => {
  const { lines, observer } = record();
  const refusal = { reason: REASONS.STORE_UNAVAILABLE, code: 14, peer: 'p', scopeDigest: undefined };
  observer.circuitChanged(true);
  observer.circuitChanged(false);
  observer.callRefused(method, { ...refusal, quota: undefined });
  t.deepEqual(
    lines.map(({ text }) => text),
    [GONE, BACK],
  );
});

test('without a check, the database is available again when a part that had failed works, and none fails for a second', async (t) => {
  const { lines, observer } = record();
  observer.errorOccurred(down);
  observer.storeUsed('claim', 0, down);
  observer.storeUsed('find', 0);
  t.is(lines.length, 1, 'a look-up had not failed');
  observer.storeUsed('claim', 0);
  t.is(lines.length, 1, 'another connection may still fail');
  await poll('the line about the recovery', () => lines.length > 1);
  t.deepEqual(
    lines.map(({ text }) => text),
    [GONE, BACK],
  );
});

test('a part that works while another fails does not end an outage', async (t) => {
  const { lines, observer } = record();
  const until = performance.now() + 1_500;
  await poll('one and a half seconds of an outage', () => {
    observer.errorOccurred(down);
    observer.storeUsed('claim', 0, down);
    observer.storeUsed('claim', 0);
    return performance.now() > until;
  });
  observer.circuitChanged(true);
  t.is(lines.length, 1);
  observer.storeUsed('claim', 0);
  observer.circuitChanged(false);
  t.is(lines[1]?.text, BACK);
  t.is(lines.length, 2);
});

test('a part that works ends an outage, although another part that had failed is not used again', async (t) => {
  const { lines, observer } = record();
  observer.storeUsed('claim', 0, down);
  observer.storeUsed('claim', 0);
  observer.failures.failed({ part: 'seldom used', error: down, text: 'failed' });
  observer.storeUsed('claim', 0);
  await poll('the line about the recovery', () => lines.length > 1);
  t.like(lines[1], { text: BACK, failures: 1 });
});

test('a failure shortly after an outage does not count as another outage', async (t) => {
  const { lines, observer } = record();
  observer.errorOccurred(down);
  observer.recovered();
  await poll('the line about the recovery', () => lines.length > 1);
  observer.storeUsed('claim', 0, down);
  observer.errorOccurred(down);
  t.is(lines.length, 2);
  observer.circuitChanged(true);
  t.is(lines.length, 3, 'a check that fails counts at once');
  t.is(lines[2]?.text, GONE);
});

test.serial(
  'a failing connection for wake-ups is no outage, and has a line when it fails for ten seconds',
  (t) => {
    const { lines, observer } = record();
    const { now } = performance;
    let laterMs = 0;
    performance.now = () => now.call(performance) + laterMs;
    t.teardown(() => {
      performance.now = now;
    });
    const failed = new WakeUpsError('the connection for wake-ups failed', { cause: down });
    observer.errorOccurred(failed);
    laterMs += 9_000;
    observer.errorOccurred(failed);
    t.false(observer.failures.isDatabaseDown);
    t.deepEqual(lines, [], 'the line of an outage would follow');
    laterMs += 1_001;
    observer.errorOccurred(failed);
    t.like(lines, [{ text: 'the connection for wake-ups fails: the relay polls', severity: 'warn' }]);
    observer.recovered();
    observer.circuitChanged(true);
    laterMs += 20_000;
    observer.errorOccurred(failed);
    observer.circuitChanged(false);
    observer.errorOccurred(failed);
    t.deepEqual(
      lines.slice(1).map(({ text }) => text),
      [GONE, BACK],
      'an outage includes this connection',
    );
  },
);

for (const [title, fail] of Object.entries({
  throws: () => {
    throw new Error('the log is closed');
  },
  rejects: async () => {
    throw new Error('the log is closed');
  },
})) {
  test.serial(`a logger that ${title} has no effect but process warnings, also from timers`, async (t) => {
    const warnings: NodeJS.ErrnoException[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    t.teardown(() => process.removeListener('warning', listen));
    let calls = 0;
    const write = () => {
      calls++;
      return fail();
    };
    const logger = { debug: write, info: write, warn: write, error: write };
    const observer = createLogObserver({ logger, intervalMs: 1 });
    observer.storeUsed('claim', 0, down);
    observer.storeUsed('claim', 0);
    await poll('the line about the recovery', () => !observer.failures.isDatabaseDown);
    const locked = new LockTimeoutError('locked');
    await poll('lines at the end of intervals', () => {
      for (const _ of [1, 2]) observer.storeUsed('claim', 0, locked);
      return calls > 4;
    });
    t.deepEqual(
      warnings.map(({ code }) => code),
      ['error', 'info', 'warn'].map(() => 'REPLAY_GUARD_OBSERVER_FAILED'),
    );
    t.regex(String(warnings[0]?.message), /^the method error of a logger failed/);
  });
}

test('the close of a guard ends what its circuit says about the database', async (t) => {
  const { lines, observer } = record();
  observer.storeUsed('claim', 0, down);
  observer.circuitChanged(true);
  observer.guardClosed({ waiting: 1, oldestExecutions: () => new Map() });
  t.is(lines.length, 1, 'the database is still unavailable');
  observer.storeUsed('claim', 0);
  await poll('the line about the recovery', () => lines.length > 1);
  t.is(lines[1]?.text, BACK);
});

test('contention is not an outage: it has a line for each kind and operation', (t) => {
  const { lines, observer } = record();
  for (const _ of [1, 2]) {
    observer.storeUsed('claim', 0, new LockTimeoutError('locked'));
    observer.storeUsed('renew', 0, new LockTimeoutError('locked'));
  }
  observer.storeUsed('claim', 0, new TypeError('a fault'));
  t.deepEqual(
    lines.map(({ text, operation }) => [text, operation]),
    [
      ['the store of the guard failed', 'claim'],
      ['the store of the guard failed', 'renew'],
      ['the store of the guard failed', 'claim'],
    ],
  );
  const refusal = { reason: REASONS.STORE_UNAVAILABLE, code: 14, peer: 'p', scopeDigest: undefined };
  observer.callRefused(method, { ...refusal, quota: undefined });
  t.is(lines.length, 4, 'refusals have a line while the database is available');
});

test('deliveries have a line for each destination, type and kind of error', (t) => {
  const { lines, observer } = record();
  const attempt = { destination: 'desk', type: 'note', aggregate: 'customer-4711', attempt: 2 };
  for (const retryInMs of [100, 200, undefined, undefined])
    observer.failed(attempt, 0.1, new Error('quotes customer-4711'), retryInMs);
  observer.leaseLost(attempt);
  observer.subscriptionEnded('desk', new Error('gone'));
  t.deepEqual(
    lines.map(({ text, severity }) => [text, severity]),
    [
      ['an event could not be delivered', 'warn'],
      ['an event became a dead letter', 'error'],
      ['a delivery ended after its lease', 'warn'],
      ['a receiver ended its subscription: its deliveries stop', 'error'],
    ],
  );
  t.notRegex(JSON.stringify(lines), /4711/);
});

test('in mode OBSERVE a call that would be refused has a line, and a call that would execute has none', (t) => {
  const { lines, observer } = record();
  observer.callObserved(method, 'executed');
  observer.callObserved(method, 'reused');
  t.like(lines[0], { text: 'a call would have been refused in mode ENFORCE', wouldBe: 'reused' });
  t.is(lines.length, 1);
});

test('one observer serves the guard, the relay and the consumer of a database', async (t) => {
  const { observer } = record();
  const { database } = await (await freshData(t, 'sqlite')).open();
  const outbox = createOutbox({ database, routes: {} });
  t.notThrows(() => createRelay({ outbox, destinations: {}, observer }));
  const consumer = await createConsumer({ database, observer: [observer] });
  await consumer.close();
});

test('pino writes the type, the code and the text of an error', (t) => {
  const written: string[] = [];
  const logger = pino({ base: null }, { write: (line: string) => written.push(line) });
  createLogObserver({ logger }).errorOccurred(down);
  const { msg, level, err } = JSON.parse(String(written[0]));
  t.deepEqual([msg, level], [GONE, 50]);
  t.like(err, {
    type: 'DatabaseUnavailableError',
    code: 'REPLAY_GUARD_DATABASE_UNAVAILABLE',
    message: 'the database cannot be reached',
  });
});

for (const [options, message] of [
  [{}, 'logger: debug must be a function'],
  [
    { logger: console, interval: 1 },
    /^createLogObserver: unknown option interval; its options are logger, intervalMs$/,
  ],
  [{ logger: console, intervalMs: 0 }, /^intervalMs/],
] as const) {
  test(`a wrong option is refused: ${message}`, (t) => {
    t.throws(() => createLogObserver(options as never), { instanceOf: TypeError, message });
  });
}
