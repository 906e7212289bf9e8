import { Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import {
  createRetryServiceConfig,
  type Intent,
  newIntent,
  type SendOptions,
  sendUntilKnown,
} from 'grpc-replay-guard/client';
import { onBoth, openLedger } from '../helpers/servers/guarded-ledger.js';
import { type Scripted, scene, stored } from '../helpers/servers/scripted-server.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const OK: Scripted = { code: status.OK };
const unavailable: Scripted = { code: status.UNAVAILABLE };
const times = (count: number, line: Scripted) => Array.from({ length: count }, () => line);
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test('ten attempts of one operation carry the same key and time', async (t) => {
  const { send, attempts } = await scene(t, [...times(9, unavailable), OK]);
  t.like(await send(), {
    outcome: 'done',
    response: { entryId: 'e' },
    replayed: false,
    expiresAt: undefined,
  });
  t.is(attempts.length, 10);
  t.is(new Set(attempts).size, 1);
  t.regex(String(attempts[0]), /^[0-9a-f-]{14}7\S+ \d{4}-\d\d-\d\dT\S+Z$/);
  await send();
  t.is(new Set(attempts).size, 2, 'the next call of sendUntilKnown is another operation');
});

test('the intent of the caller is sent unchanged, with or without a time', async (t) => {
  const { send, attempts } = await scene(t, [unavailable, OK]);
  const firstSent = new Date(Date.now() - HOUR).toISOString();
  await send({ intent: { key: 'mine', firstSent } });
  await send({ intent: { key: 'mine' } });
  t.deepEqual(attempts, [`mine ${firstSent}`, `mine ${firstSent}`, 'mine ']);
});

test('the outcome done reports the replay and the expiry from the trailers', async (t) => {
  const trailers = { ...stored, 'idempotent-replayed': 'true' };
  const { send } = await scene(t, [{ code: status.OK, trailers }]);
  t.like(await send(), { outcome: 'done', replayed: true, expiresAt: new Date('2100-01-01') });
});

test('pauses have full jitter, double up to the maximum, and respect the pushback', async (t) => {
  const withPushback = { code: status.UNAVAILABLE, trailers: { 'grpc-retry-pushback-ms': '700' } };
  const script = [
    ...times(4, unavailable),
    withPushback,
    unavailable,
    { ...unavailable, retryInfoMs: 50 },
    OK,
  ];
  const { send, clock } = await scene(t, script);
  const draws = [1, 0.5, 0, 0.25, 0.5, 1, 0];
  const random = () => draws.shift() ?? Number.NaN;
  t.like(await send({ initialBackoffMs: 100, maxBackoffMs: 1_000, random }), { outcome: 'done' });
  t.deepEqual(clock.pauses, [100, 100, 0, 200, 700, 1_000, 50]);
});

test('when the retry budget is spent, the outcome is unknown and has the key and the time', async (t) => {
  const { send, clock, attempts } = await scene(t, [unavailable]);
  const begun = clock.now();
  const outcome = await send({ retryBudgetMs: 10_000, maxBackoffMs: 1_000 });
  t.like(outcome, { outcome: 'unknown', retryLater: true, lastError: { code: status.UNAVAILABLE } });
  if (outcome.outcome !== 'unknown') return;
  t.is(`${outcome.key} ${outcome.firstSent}`, String(attempts[0]));
  t.true(attempts.length > 10);
  t.true(clock.now() - begun < 10_000);
  t.true(sum(clock.pauses) > 8_000, 'the pauses use most of the retry budget');

  // A later call continues with the intent of the outcome.
  await send({ intent: outcome, retryBudgetMs: 1 });
  t.is(new Set(attempts).size, 1);
});

test('a clock that is set back does not lengthen the retry budget', async (t) => {
  const { unary, clock, attempts } = await scene(t, [unavailable]);
  const wait = async (ms: number) => {
    await clock.wait(ms);
    if (clock.pauses.length === 3) clock.skip(-HOUR);
  };
  const options = { retryBudgetMs: 10_000, initialBackoffMs: 1_000, maxBackoffMs: 1_000, random: () => 1 };
  const outcome = await sendUntilKnown(unary, { ...options, clock: { now: () => clock.now(), wait } });
  t.like(outcome, { outcome: 'unknown', retryLater: true });
  t.is(attempts.length, 11, 'ten attempts, and one for the pause in which the clock was set back');
});

test('a pushback beyond the retry budget ends the attempts at once', async (t) => {
  const withPushback = { code: status.UNAVAILABLE, trailers: { 'grpc-retry-pushback-ms': '60000' } };
  const { send, clock, attempts } = await scene(t, [withPushback, OK]);
  t.like(await send({ retryBudgetMs: MINUTE }), { outcome: 'unknown', retryLater: true });
  t.deepEqual([clock.pauses, attempts.length], [[], 1]);
});

test('no attempt is made near the end of the retention, even with a longer retry budget', async (t) => {
  const { send, clock, attempts } = await scene(t, [unavailable]);
  const firstSent = new Date(clock.now() - 23 * HOUR).toISOString();
  const outcome = await send({
    intent: { key: 'k', firstSent },
    retryBudgetMs: 24 * HOUR,
    maxBackoffMs: MINUTE,
  });
  t.like(outcome, { outcome: 'unknown', retryLater: false });
  t.true(attempts.length > 5);
  t.true(clock.now() - Date.parse(firstSent) < 24 * HOUR - 5 * MINUTE);

  const sent = attempts.length;
  const late = { key: 'k', firstSent: new Date(clock.now() - 56 * MINUTE).toISOString() };
  t.deepEqual(await send({ intent: late, retentionMs: HOUR }), {
    outcome: 'unknown',
    ...late,
    retryLater: false,
  });
  t.is(attempts.length, sent);
});

test('the retention of an intent without a time counts from the first attempt', async (t) => {
  const { send, attempts } = await scene(t, [unavailable]);
  t.like(await send({ intent: { key: 'k' }, retentionMs: MINUTE, retryBudgetMs: HOUR }), {
    outcome: 'unknown',
    key: 'k',
    retryLater: false,
  });
  t.true(attempts.length > 5);
});

for (const code of [status.INTERNAL, status.UNKNOWN]) {
  test(`ten ${status[code]} in a row end the attempts before the retry budget`, async (t) => {
    const { send, attempts } = await scene(t, [unavailable, { code }]);
    t.like(await send({ retryBudgetMs: HOUR }), {
      outcome: 'unknown',
      retryLater: true,
      lastError: { code },
    });
    t.is(attempts.length, 11);
    const mixed = await scene(t, [...times(9, { code }), unavailable, ...times(9, { code }), OK]);
    t.like(await mixed.send({ retryBudgetMs: HOUR }), { outcome: 'done' });
  });
}

test('an attempt that exceeds its timeout is followed by another attempt', async (t) => {
  const barrier = new Barrier();
  const never = async (): Promise<Scripted> => {
    await barrier.pass();
    return OK;
  };
  const { send, attempts } = await scene(t, [never, OK]);
  t.like(await send({ attemptTimeoutMs: 1_000 }), { outcome: 'done' });
  t.true(attempts.length > 1);
  barrier.open();
});

test('the deadline of an attempt never exceeds the remaining retry budget', async (t) => {
  const { send, timeouts } = await scene(t, [unavailable]);
  const pause = { initialBackoffMs: 40_000, maxBackoffMs: 40_000 };
  await send({ ...pause, attemptTimeoutMs: 60_000, retryBudgetMs: 100_000 });
  t.deepEqual(
    timeouts.map((ms) => ms > 0 && Math.ceil(ms / 20_000)),
    [3, 3, 1],
  );
});

test('an AbortSignal ends sendUntilKnown before, during and between attempts', async (t) => {
  const barrier = new Barrier();
  const { send, attempts, clock } = await scene(t, [() => barrier.pass().then(() => OK), unavailable]);
  const before = await send({ signal: AbortSignal.abort() });
  t.like(before, { outcome: 'unknown', retryLater: true });
  t.false('lastError' in before);
  t.is(attempts.length, 0);

  const during = new AbortController();
  const running = send({ signal: during.signal });
  await barrier.reached();
  during.abort();
  t.like(await running, { outcome: 'unknown', retryLater: true, lastError: { code: status.CANCELLED } });
  t.is(attempts.length, 1);

  const between = new AbortController();
  const wait = async () => between.abort();
  const waiting = send({ signal: between.signal, clock: { now: () => clock.now(), wait } });
  t.like(await waiting, { outcome: 'unknown', lastError: { code: status.UNAVAILABLE } });
  t.is(attempts.length, 2);
  barrier.open();
});

test('the default clock waits in real time, and an AbortSignal ends the wait', async (t) => {
  const { unary, attempts } = await scene(t, [...times(5, unavailable), OK]);
  const begun = performance.now();
  const options = { initialBackoffMs: 10, maxBackoffMs: 10, random: () => 1 };
  t.like(await sendUntilKnown(unary, options), { outcome: 'done' });
  t.is(attempts.length, 6);
  t.true(performance.now() - begun >= 45, 'five pauses of 10 ms, minus the rounding of timers');

  const stop = new AbortController();
  const withPushback = { code: status.UNAVAILABLE, trailers: { 'grpc-retry-pushback-ms': '1000000' } };
  const held = await scene(t, [withPushback]);
  const outcome = sendUntilKnown(held.unary, { signal: stop.signal, retryBudgetMs: HOUR });
  await poll('the first attempt is answered', () => held.attempts.length === 1);
  stop.abort();
  t.like(await outcome, { outcome: 'unknown', retryLater: true });
});

test('a refusal after retries by gRPC itself has an unknown outcome', async (t) => {
  const options = {
    'grpc.enable_retries': 1,
    'grpc.service_config': JSON.stringify(createRetryServiceConfig()),
  };
  const { send, attempts } = await scene(t, [unavailable, { code: status.UNAUTHENTICATED }], options);
  t.like(await send(), { outcome: 'unknown', lastError: { code: status.UNAUTHENTICATED } });
  t.is(attempts.length, 2);
});

test('with the service config, gRPC makes five attempts, unless a negative pushback forbids retries', async (t) => {
  const options = {
    'grpc.enable_retries': 1,
    'grpc.service_config': JSON.stringify(createRetryServiceConfig()),
  };
  for (const [pushback, count] of [
    ['0', 5],
    ['-1', 1],
  ] as const) {
    const withPushback = { code: status.UNAVAILABLE, trailers: { 'grpc-retry-pushback-ms': pushback } };
    const { unary, attempts } = await scene(t, [withPushback], options);
    const code = await new Promise((resolve) => {
      unary(new Metadata(), { deadline: Date.now() + 60_000 }, (error) => resolve(error?.code));
    });
    t.deepEqual([code, attempts.length], [status.UNAVAILABLE, count]);
  }
});

test('an error of send is thrown, unless an attempt may have been sent before', async (t) => {
  const closed = () => {
    throw new Error('closed');
  };
  await t.throwsAsync(sendUntilKnown(closed), { message: 'closed' });
  const intent: Intent = { key: 'k', firstSent: new Date().toISOString() };
  t.like(await sendUntilKnown(closed, { intent }), { outcome: 'unknown', lastError: { message: 'closed' } });
  await t.throwsAsync(sendUntilKnown(closed, { intent, sentBefore: false }), { message: 'closed' });
});

test('malformed options are refused before an attempt', async (t) => {
  const { send, attempts } = await scene(t, [OK]);
  for (const options of [
    { retryBudgetMs: Number.NaN },
    { retryBudgetMs: 2 ** 31 },
    { attemptTimeoutMs: 0 },
    { retentionMs: -1 },
    { initialBackoffMs: Number.POSITIVE_INFINITY },
    { maxBackoffMs: 0 },
    { retryBudgetMs: '60000' as never },
    { intent: { key: '' } },
    { intent: { key: 'k', firstSent: 'today' } },
  ]) {
    await t.throwsAsync(send(options), { instanceOf: TypeError }, JSON.stringify(options));
  }
  t.is(attempts.length, 0);
});

test('an undefined option has its default', async (t) => {
  const { unary } = await scene(t, [unavailable, OK]);
  // Compilers without exactOptionalPropertyTypes accept such options.
  const names = [
    'intent',
    'sentBefore',
    'metadata',
    'retryBudgetMs',
    'retentionMs',
    'initialBackoffMs',
    'random',
    'clock',
  ];
  const options: SendOptions = Object.fromEntries(names.map((name) => [name, undefined]));
  t.like(await sendUntilKnown(unary, options), { outcome: 'done' });
});

test('inside a guarded call the intent is derived from the operation and counts as sent before', async (t) => {
  const far = await scene(t, [unavailable, { code: status.UNAUTHENTICATED }]);
  const outcomes: unknown[] = [];
  const near = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback) => {
        outcomes.push(await far.send(), await far.send(), newIntent());
        // UNAVAILABLE releases the claim, so the next call with the same key executes again.
        callback({ code: status.UNAVAILABLE });
      }),
  });
  for (let i = 0; i < 2; i++) await near.append('k');
  const [first, second, third, ...again] = outcomes as Intent[];
  t.is(new Set([first?.key, second?.key, third?.key]).size, 3);
  t.deepEqual(
    again.map(({ key }) => key),
    [first?.key, second?.key, third?.key],
  );
  for (const outcome of [first, second, ...again.slice(0, 2)]) t.like(outcome, { outcome: 'unknown' });
});
