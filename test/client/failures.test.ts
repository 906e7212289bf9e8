import { status } from '@grpc/grpc-js';
import test from 'ava';
import { defaultPolicy } from 'grpc-replay-guard';
import { type Scripted, scene, stored } from '../helpers/servers/scripted-server.js';

const OK: Scripted = { code: status.OK };
const unavailable: Scripted = { code: status.UNAVAILABLE };

/** The meaning of each status without a reason, for an operation that was sent once. */
const byCode: Record<string, 'done' | 'not done' | 'retried' | 'later' | 'lost'> = {
  OK: 'done',
  CANCELLED: 'retried',
  UNKNOWN: 'retried',
  INVALID_ARGUMENT: 'not done',
  DEADLINE_EXCEEDED: 'retried',
  NOT_FOUND: 'not done',
  ALREADY_EXISTS: 'not done',
  PERMISSION_DENIED: 'not done',
  RESOURCE_EXHAUSTED: 'later',
  FAILED_PRECONDITION: 'not done',
  ABORTED: 'not done',
  OUT_OF_RANGE: 'not done',
  UNIMPLEMENTED: 'not done',
  INTERNAL: 'retried',
  UNAVAILABLE: 'retried',
  DATA_LOSS: 'lost',
  UNAUTHENTICATED: 'not done',
};

test('every gRPC status has an expected classification', (t) => {
  const names = Object.values(status).filter((name) => typeof name === 'string');
  t.deepEqual(Object.keys(byCode).sort(), names.sort());
});

for (const [name, expected] of Object.entries(byCode)) {
  const code = status[name as keyof typeof status];
  const unknown = (retryLater: boolean) => ({ outcome: 'unknown', retryLater }) as const;

  test(`${name} for a new operation means ${expected}`, async (t) => {
    const { send, attempts } = await scene(t, [{ code }, OK]);
    const outcome = await send();
    t.is(attempts.length, expected === 'retried' ? 2 : 1);
    if (expected === 'done' || expected === 'retried') t.like(outcome, { outcome: 'done' });
    else if (expected === 'not done') {
      t.like(outcome, { outcome: 'refused', code, details: 'as scripted', reason: undefined });
    } else {
      t.like(outcome, { ...unknown(expected === 'later'), lastError: { code } });
    }
  });

  test(`${name} for an operation in doubt never gives the outcome refused`, async (t) => {
    const inDoubt = await scene(t, [unavailable, { code }, OK]);
    const resumed = await scene(t, [{ code }, OK]);
    const intent = { key: 'k', firstSent: new Date().toISOString() };
    const outcomes = [await inDoubt.send(), await resumed.send({ intent })];
    for (const outcome of outcomes) {
      if (expected === 'done' || expected === 'retried') t.like(outcome, { outcome: 'done' });
      else t.like(outcome, { ...unknown(expected !== 'lost'), lastError: { code } });
    }
    t.is(inDoubt.attempts.length, expected === 'retried' ? 3 : 2);
  });
}

/** The refusals of the guard, as docs/contract.md lists them. */
const byReason: readonly (readonly [string, status, Partial<Exclude<Scripted, () => unknown>>, string])[] = [
  ['IDEMPOTENCY_KEY_MISSING', status.INVALID_ARGUMENT, {}, 'not done'],
  ['IDEMPOTENCY_KEY_INVALID', status.INVALID_ARGUMENT, {}, 'not done'],
  ['IDEMPOTENCY_SCOPE_MISSING', status.UNAUTHENTICATED, {}, 'not done'],
  ['IDEMPOTENCY_SCOPE_UNAVAILABLE', status.UNAVAILABLE, { retryInfoMs: 200 }, 'retried'],
  ['IDEMPOTENCY_KEY_REUSED', status.FAILED_PRECONDITION, {}, 'closed'],
  ['IDEMPOTENCY_KEY_EXPIRED', status.FAILED_PRECONDITION, {}, 'closed'],
  ['IDEMPOTENCY_KEY_IN_PROGRESS', status.UNAVAILABLE, { retryInfoMs: 200 }, 'retried'],
  ['IDEMPOTENCY_STORE_UNAVAILABLE', status.UNAVAILABLE, { retryInfoMs: 200 }, 'retried'],
  ['IDEMPOTENCY_LEASE_LOST', status.UNAVAILABLE, { retryInfoMs: 200 }, 'retried'],
  ['IDEMPOTENCY_OUTCOME_UNKNOWN', status.UNAVAILABLE, { retryInfoMs: 200 }, 'retried'],
  ['IDEMPOTENCY_REPLY_TOO_LARGE', status.RESOURCE_EXHAUSTED, { trailers: stored }, 'refused'],
  ['IDEMPOTENCY_QUOTA_EXCEEDED', status.RESOURCE_EXHAUSTED, {}, 'not done'],
  ['IDEMPOTENCY_REPLY_UNREADABLE', status.DATA_LOSS, {}, 'lost'],
];

for (const [reason, code, more, expected] of byReason) {
  test(`${reason} means ${expected}`, async (t) => {
    const answer = { code, reason, ...more };
    const fresh = await (await scene(t, [answer, OK])).send();
    const inDoubt = await (await scene(t, [unavailable, answer, OK])).send();
    const refused = { outcome: 'refused', code, reason } as const;
    if (expected === 'retried') t.like([fresh, inDoubt], [{ outcome: 'done' }, { outcome: 'done' }]);
    else if (expected === 'refused') t.like([fresh, inDoubt], [refused, refused]);
    else if (expected === 'not done') {
      t.like([fresh, inDoubt], [refused, { outcome: 'unknown', retryLater: true }]);
    } else {
      const lost = { outcome: 'unknown', retryLater: false } as const;
      t.like([fresh, inDoubt], [expected === 'closed' ? refused : lost, lost]);
    }
  });
}

test('a reason of another domain and an unknown reason are reported but not classified', async (t) => {
  for (const [reason, domain] of [
    ['IDEMPOTENCY_KEY_EXPIRED', 'shop'],
    ['constructor', 'grpc-replay-guard'],
  ] as const) {
    const answer = { code: status.FAILED_PRECONDITION, reason, domain };
    t.like(await (await scene(t, [answer])).send(), { outcome: 'refused', reason });
    const inDoubt = await scene(t, [unavailable, answer]);
    t.like(await inDoubt.send(), { outcome: 'unknown', retryLater: true });
  }
});

/** What a server without a guard may copy from a call of its own, and the outcome for a new operation. */
const copied: readonly (readonly [string, Scripted, 'unknown' | 'refused'])[] = [
  ['UNAVAILABLE with KEY_REUSED', { code: 14, reason: 'IDEMPOTENCY_KEY_REUSED' }, 'unknown'],
  ['UNAVAILABLE with KEY_EXPIRED', { code: 14, reason: 'IDEMPOTENCY_KEY_EXPIRED' }, 'unknown'],
  ['INTERNAL with QUOTA_EXCEEDED', { code: 13, reason: 'IDEMPOTENCY_QUOTA_EXCEEDED' }, 'unknown'],
  ['UNAVAILABLE with an expiry', { code: 14, trailers: stored }, 'unknown'],
  ['CANCELLED with an expiry', { code: 1, trailers: stored }, 'unknown'],
  ['DEADLINE_EXCEEDED with an expiry', { code: 4, trailers: stored }, 'unknown'],
  ['RESOURCE_EXHAUSTED with KEY_EXPIRED', { code: 8, reason: 'IDEMPOTENCY_KEY_EXPIRED' }, 'unknown'],
  ['DATA_LOSS with KEY_REUSED', { code: 15, reason: 'IDEMPOTENCY_KEY_REUSED' }, 'unknown'],
  ['NOT_FOUND with QUOTA_EXCEEDED', { code: 5, reason: 'IDEMPOTENCY_QUOTA_EXCEEDED' }, 'refused'],
];
for (const [name, answer, outcome] of copied) {
  test(`${name}: the code alone gives the outcome ${outcome}, without a reason`, async (t) => {
    const result = await (await scene(t, [answer])).send();
    t.like(result, outcome === 'refused' ? { outcome, reason: undefined } : { outcome });
  });
}

test('an expiry with a failure that is retried does not extend the time of the attempts', async (t) => {
  const { send, attempts } = await scene(t, [{ code: 14, trailers: stored }]);
  const options = {
    retentionMs: 10_000,
    retryBudgetMs: 3_600_000,
    maxBackoffMs: 4_000,
    initialBackoffMs: 4_000,
  };
  t.like(await send(options), { outcome: 'unknown', retryLater: false });
  t.true(attempts.length < 5);
});

const alsoStored = [status.INVALID_ARGUMENT, status.ABORTED, status.INTERNAL, status.UNKNOWN];
for (const code of [...defaultPolicy.replayedCodes, ...alsoStored]) {
  test(`a stored ${status[code]} refuses the operation, also after earlier attempts`, async (t) => {
    const answer = { code, reason: 'INSUFFICIENT_STOCK', domain: 'shop', trailers: stored };
    const { send } = await scene(t, [unavailable, answer]);
    t.like(await send(), { outcome: 'refused', code, reason: 'INSUFFICIENT_STOCK' });
  });
}

/** Failures with a pushback that changes the default behavior of the client. */
const withPushback: readonly (readonly [string, Scripted, 'retried' | 'later' | 'refused'])[] = [
  ['ABORTED, pushback 0', { code: 10, trailers: { 'grpc-retry-pushback-ms': '0' } }, 'retried'],
  ['RESOURCE_EXHAUSTED, pushback', { code: 8, trailers: { 'grpc-retry-pushback-ms': '9' } }, 'retried'],
  ['RESOURCE_EXHAUSTED, RetryInfo', { code: 8, retryInfoMs: 9 }, 'retried'],
  ['UNAVAILABLE, pushback -1', { code: 14, trailers: { 'grpc-retry-pushback-ms': '-1' } }, 'later'],
  ['UNAVAILABLE, pushback not a number', { code: 14, trailers: { 'grpc-retry-pushback-ms': 'x' } }, 'later'],
  ['ABORTED, pushback -1', { code: 10, trailers: { 'grpc-retry-pushback-ms': '-1' } }, 'refused'],
  ['INVALID_ARGUMENT, pushback -1', { code: 3, trailers: { 'grpc-retry-pushback-ms': '-1' } }, 'refused'],
  [
    'a stored failure, pushback',
    { code: 9, trailers: { ...stored, 'grpc-retry-pushback-ms': '9' } },
    'refused',
  ],
];

for (const [name, answer, expected] of withPushback) {
  test(`${name} means ${expected}`, async (t) => {
    const { send, attempts } = await scene(t, [answer, OK]);
    const outcome = await send();
    t.is(attempts.length, expected === 'retried' ? 2 : 1);
    if (expected === 'retried') t.like(outcome, { outcome: 'done' });
    else if (expected === 'refused') t.like(outcome, { outcome: 'refused' });
    else t.like(outcome, { outcome: 'unknown', retryLater: true });
  });
}

test('an undefined status is retried', async (t) => {
  const { send, attempts } = await scene(t, [{ code: 99 as status }, OK]);
  t.like(await send(), { outcome: 'done' });
  t.is(attempts.length, 2);
});

test('malformed status details are ignored', async (t) => {
  const { send } = await scene(t, [
    { code: status.FAILED_PRECONDITION, trailers: { 'grpc-status-details-bin': Buffer.from('no message') } },
  ]);
  t.like(await send(), { outcome: 'refused', reason: undefined });
});
