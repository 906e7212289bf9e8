import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import type { Reply } from '../../helpers/calls/call.js';
import { engines } from '../../helpers/databases/engines.js';
import { sharedData } from '../../helpers/databases/shared-data.js';
import {
  type Ledger,
  type LedgerMethod,
  type LedgerSetup,
  methods,
  onBoth,
  openLedger,
  writeEffect,
} from '../../helpers/servers/guarded-ledger.js';
import { scopeDigest } from '../../helpers/stores/scope-digest.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const shared = sharedData(test);
const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const waiting = (waitMs: number) =>
  Object.fromEntries(paths.map((path) => [path, { waitMs, leaseMs: 60_000 }]));
const pushbackOf = (reply: Reply<unknown>) => Number(reply.trailers.get('grpc-retry-pushback-ms')[0]);

/** Opens the barriers at the end of the test, because a closing guard waits for its handlers. */
function openAtTheEnd(t: ExecutionContext, ...barriers: Barrier[]): void {
  t.teardown(() => {
    for (const barrier of barriers) barrier.open();
  });
}

function inProgress(t: ExecutionContext, reply: Reply<unknown>): void {
  assertRefused(t, reply, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
}

interface TwoServers {
  readonly waitMs: number;
  /** Whether a held handler has already written. */
  readonly written?: boolean;
  readonly second?: LedgerSetup;
}

/** Two servers on one Postgres. The handlers of the first server wait at the barrier. */
async function twoServers(t: ExecutionContext, { waitMs, written = true, second = {} }: TwoServers) {
  const data = await shared(t, 'postgres');
  const barrier = new Barrier();
  const name = randomUUID();
  const guard = { scope: () => name, policies: waiting(waitMs) };
  const first = await openLedger(t, data, {
    engine: { unitLimitMs: 60_000, maxConnections: 12 },
    handlers: (database) =>
      onBoth(async (account, callback) => {
        if (written) await writeEffect(database, account);
        await barrier.pass();
        callback(null, { entryId: randomUUID(), transferId: randomUUID() });
      }),
    guard,
  });
  const other = await openLedger(t, data, { guard, ...second });
  openAtTheEnd(t, barrier);
  return { barrier, first, second: other, name };
}

for (const method of methods) {
  test(`postgres, ${method}: calls that wait for another server hold no connections`, async (t) => {
    const { barrier, first, second, name } = await twoServers(t, {
      waitMs: 60_000,
      second: { engine: { maxConnections: 2, lockTimeoutMs: 60_000 } },
    });
    const keys = Array.from({ length: 10 }, (_, index) => `key-${index}`);
    const running = keys.map((key) => first.ask(method, key, name));
    await barrier.reached(10);
    const parked = keys.map((key) => second.ask(method, key, name));
    // One claim may wait for the row lock of the other server.
    await second.outcomes.used('claim', 9);
    t.like(await second.ask(method, 'fresh', name), { code: status.OK, replayed: false });
    t.deepEqual(second.outcomes.ended, ['executed']);
    barrier.open();
    const replies = await Promise.all(running);
    for (const [index, reply] of (await Promise.all(parked)).entries())
      t.like(reply, { code: status.OK, replayed: true, bytes: replies[index]?.bytes });
    t.is((await second.effects()).filter((account) => account === name).length, 11);
  });

  test(`postgres, ${method}: the pushback grows with the wait for another server`, async (t) => {
    const { barrier, first, second, name } = await twoServers(t, { waitMs: 600 });
    const running = first.ask(method, 'key', name);
    await barrier.reached();
    const refused = await second.ask(method, 'key', name);
    inProgress(t, refused);
    t.true(pushbackOf(refused) >= 600);
    barrier.open();
    t.like(await running, { code: status.OK });
  });

  test(`postgres, ${method}: a closing guard refuses the calls that wait for another server`, async (t) => {
    const { barrier, first, second, name } = await twoServers(t, { waitMs: 60_000 });
    const running = first.ask(method, 'key', name);
    await barrier.reached();
    const parked = second.ask(method, 'key', name);
    await second.outcomes.used('claim');
    await second.guard.close();
    inProgress(t, await parked);
    barrier.open();
    t.like(await running, { code: status.OK });
  });
}

test('postgres, transfer: a duplicate with another payload is refused at another server while the first call runs', async (t) => {
  const { barrier, first, second, name } = await twoServers(t, { waitMs: 60_000 });
  const running = first.transfer('key', { from: name });
  await barrier.reached();
  const reused = await second.transfer('key', { from: 'bob' });
  assertRefused(t, reused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  barrier.open();
  t.like(await running, { code: status.OK });
});

test('postgres, transfer: the pushback grows with the age of the execution, up to a limit', async (t) => {
  const { barrier, first, second, name } = await twoServers(t, { waitMs: 0, written: false });
  const running = first.transfer('key', { from: name });
  await barrier.reached();
  const refused = await second.transfer('key', { from: name });
  inProgress(t, refused);
  t.true(pushbackOf(refused) >= 200);
  // The fence gives the age of a record in progress. The change ends the execution's lease, but the record stays.
  const aging = 'UPDATE replay_guard_records SET fence = fence - 4000 WHERE scope = $1';
  const pushbacks = [pushbackOf(refused)];
  for (const _round of [1, 2]) {
    await first.database.query(aging, [scopeDigest(name)]);
    const later = await second.transfer('key', { from: name });
    inProgress(t, later);
    pushbacks.push(pushbackOf(later));
  }
  const [, middle = 0, last = 0] = pushbacks;
  t.true(middle >= 4_000 && middle > pushbackOf(refused), `${pushbacks}`);
  t.is(last, 5_000);
  barrier.open();
  assertRefused(t, await running, status.UNAVAILABLE, 'IDEMPOTENCY_LEASE_LOST', 'RetryInfo');
});

test('memory: the pushback grows with the age of an execution in this process', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { policies: waiting(0) },
  });
  openAtTheEnd(t, barrier);
  const running = ledger.transfer('key');
  await barrier.reached();
  const pushback = async () => {
    const refused = await ledger.transfer('key');
    inProgress(t, refused);
    return pushbackOf(refused);
  };
  const first = await pushback();
  await poll('the pushback has grown', async () => (await pushback()) > Math.max(first, 200));
  barrier.open();
  t.like(await running, { code: status.OK });
});

/** Records each status that the server sends, and the time until the deadline of its call. */
function sentStatuses() {
  const sent: { readonly code: number; readonly remainingMs: number }[] = [];
  const interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      sendStatus: (end, next) => {
        sent.push({ code: end.code ?? 0, remainingMs: Number(call.getDeadline()) - Date.now() });
        next(end);
      },
    });
  return { sent, interceptor };
}

/** Calls with a deadline, up to five times: on a busy machine the refusal can arrive after the deadline. */
async function refusedInTime(t: ExecutionContext, ask: () => Promise<Reply<unknown>>) {
  let refused = await ask();
  for (let attempt = 1; attempt < 5 && refused.code === status.DEADLINE_EXCEEDED; attempt++)
    refused = await ask();
  inProgress(t, refused);
}

const deadlineMs = 1_000;

// The tests of deadlines are serial, so they run before the concurrent tests, which could delay them too much.
test.serial('sqlite: a duplicate that waits in this process is refused before its deadline', async (t) => {
  const [barrier, { sent, interceptor }] = [new Barrier(), sentStatuses()];
  const ledger = await openLedger(t, await shared(t, 'sqlite'), {
    before: [interceptor],
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { policies: waiting(60_000) },
  });
  openAtTheEnd(t, barrier);
  const running = ledger.transfer('key');
  await barrier.reached();
  await refusedInTime(t, () => ledger.transfer('key', {}, { deadlineMs }));
  t.true(sent.some(({ code, remainingMs }) => code === status.UNAVAILABLE && remainingMs > 5));
  barrier.open();
  t.like(await running, { code: status.OK });
});

test.serial(
  'postgres: a duplicate that waits for another server is refused before its deadline',
  async (t) => {
    const { sent, interceptor } = sentStatuses();
    const { barrier, first, second, name } = await twoServers(t, {
      waitMs: 60_000,
      second: { before: [interceptor], engine: { lockTimeoutMs: 20 } },
    });
    const running = methods.map((method) => first.ask(method, 'key', name));
    await barrier.reached(2);
    const wait = (method: LedgerMethod) =>
      refusedInTime(t, () => second.ask(method, 'key', name, { deadlineMs }));
    await Promise.all(methods.map(wait));
    t.true(
      sent.filter(({ code, remainingMs }) => code === status.UNAVAILABLE && remainingMs > 5).length >= 2,
    );
    barrier.open();
    for (const reply of await Promise.all(running)) t.like(reply, { code: status.OK });
  },
);

/** A server, and a function that resolves when a number of calls has reached the guard. */
async function counting(
  t: ExecutionContext,
  engine: (typeof engines)[number] | 'memory',
  setup: LedgerSetup,
): Promise<{ ledger: Ledger; arrived: (count: number) => Promise<void> }> {
  const reached = new Barrier();
  reached.open();
  const name = randomUUID();
  const source = engine === 'memory' ? engine : await shared(t, engine);
  const guard = { policies: waiting(60_000), scope: () => reached.pass().then(() => name), ...setup.guard };
  const ledger = await openLedger(t, source, { ...setup, guard });
  const arrived = async (count: number) => {
    await reached.reached(count);
    await nextTurn();
  };
  return { ledger, arrived };
}

for (const engine of [...engines, 'memory'] as const) {
  test(`${engine}: duplicates above the limit of waiters are refused, and the waiting duplicates get the reply`, async (t) => {
    const barrier = new Barrier();
    const { ledger, arrived } = await counting(t, engine, {
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
      guard: { waitersPerKey: 3 },
    });
    openAtTheEnd(t, barrier);
    const calls = [ledger.transfer('key')];
    await barrier.reached();
    for (let waiter = 0; waiter < 3; waiter++) calls.push(ledger.transfer('key'));
    await arrived(4);
    inProgress(t, await ledger.transfer('key'));
    t.deepEqual(ledger.outcomes.ended, ['in_progress']);
    // The limit counts the waiters of each key.
    const another = ledger.transfer('another');
    await barrier.reached(2);
    barrier.open();
    const [first, ...others] = await Promise.all(calls);
    t.like(first, { code: status.OK, replayed: false });
    for (const other of others) t.like(other, { replayed: true, bytes: first?.bytes });
    t.like(await another, { code: status.OK, replayed: false });
    t.is(ledger.outcomes.count('joined'), 3);
  });

  test(`${engine}: when the first call releases its key, one duplicate executes and the others wait for it`, async (t) => {
    const [failing, succeeding] = [new Barrier(), new Barrier()];
    let executions = 0;
    const { ledger, arrived } = await counting(t, engine, {
      handlers: () =>
        onBoth(async (_account, callback) => {
          if (++executions > 1) return succeeding.pass().then(() => callback(null, { transferId: 'second' }));
          await failing.pass();
          callback({ code: status.UNAVAILABLE, details: 'not now' });
        }),
      guard: { waitersPerKey: 4 },
    });
    openAtTheEnd(t, failing, succeeding);
    const first = ledger.transfer('key');
    await failing.reached();
    const others = Array.from({ length: 4 }, () => ledger.transfer('key'));
    await arrived(5);
    failing.open();
    t.like(await first, { code: status.UNAVAILABLE, details: 'not now', statusDetails: undefined });
    await succeeding.reached();
    await nextTurn();
    t.deepEqual(ledger.outcomes.ended, ['released']);
    succeeding.open();
    const replies = await Promise.all(others);
    for (const reply of replies) t.like(reply, { code: status.OK, bytes: replies[0]?.bytes });
    t.is(replies.filter(({ replayed }) => !replayed).length, 1);
    t.is(executions, 2);
  });
}
