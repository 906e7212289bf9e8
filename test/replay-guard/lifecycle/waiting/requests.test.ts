import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { assertRefused } from '../../../helpers/calls/assert-refused.js';
import { largeRequests } from '../../../helpers/calls/large-requests.js';
import { sequenceSettings } from '../../../helpers/calls/sequence-settings.js';
import { sharedData } from '../../../helpers/databases/shared-data.js';
import { type Ledger, onBoth, openLedger } from '../../../helpers/servers/guarded-ledger.js';
import { Barrier } from '../../../helpers/waiting/barrier.js';
import { poll } from '../../../helpers/waiting/poll.js';

const shared = sharedData(test);
setFlagsFromString('--expose_gc');
const collectGarbage: () => void = runInNewContext('gc');

const paths = ['/test.v1.LedgerService/Append', '/test.v1.LedgerService/Transfer'];
const policies = Object.fromEntries(paths.map((path) => [path, { waitMs: 60_000, leaseMs: 60_000 }]));
const REQUEST_BYTES = 1_000_000;
/** The memory of a few requests: each can be held as parts, as a whole message and as a decoded message. */
const FEW_REQUESTS = 15 * REQUEST_BYTES;

/** The bytes of all buffers that something still refers to. */
async function bufferedBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    collectGarbage();
    await pause(1);
    least = Math.min(least, process.memoryUsage().arrayBuffers);
  }
  return least;
}

/** Keeps a weak reference to each request of Append that a server decodes. */
function seenRequests() {
  const requests: WeakRef<object>[] = [];
  const interceptor: ServerInterceptor = ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMessage: (message, forward) => {
            if (path.endsWith('/Append')) requests.push(new WeakRef(message));
            forward(message);
          },
        }),
    });
  return { interceptor, held: () => requests.filter((request) => request.deref()).length };
}

function openAtTheEnd(t: ExecutionContext, barrier: Barrier): Barrier {
  t.teardown(() => barrier.open());
  return barrier;
}

const append = (ledger: Ledger) => ledger.definition.Append;

/** Sends calls with one large Append request. */
function large(t: ExecutionContext, ledger: Ledger) {
  const { path, requestSerialize } = append(ledger);
  return largeRequests(
    t,
    ledger.server.address,
    path,
    requestSerialize({ account: 'a'.repeat(REQUEST_BYTES) }),
  );
}

test.serial('of the duplicates that wait in this process, one keeps its request', async (t) => {
  const barrier = openAtTheEnd(t, new Barrier());
  const { interceptor, held } = seenRequests();
  const ledger = await openLedger(t, 'memory', {
    before: [interceptor],
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { policies },
  });
  const send = large(t, ledger);
  const before = await bufferedBytes();
  const calls = [send({ 'idempotency-key': 'key' })];
  await barrier.reached();
  for (let duplicate = 0; duplicate < 30; duplicate++) calls.push(send({ 'idempotency-key': 'key' }));
  await poll('all duplicates wait', () => ledger.outcomes.waiting === 30);
  const grown = (await bufferedBytes()) - before;
  t.true(grown < FEW_REQUESTS, `${grown} bytes`);
  t.is(held(), 2, 'the request of the running call, and of the duplicate that may follow it');
  barrier.open();
  t.deepEqual(new Set(await Promise.all(calls)), new Set([status.OK]));
});

test.serial('of the duplicates that wait for another server, two keep their requests', async (t) => {
  const data = await shared(t, 'postgres');
  const barrier = openAtTheEnd(t, new Barrier());
  const scope = randomUUID();
  const guard = { scope: () => scope, policies };
  const first = await openLedger(t, data, {
    engine: { unitLimitMs: 60_000 },
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard,
  });
  const { interceptor, held } = seenRequests();
  const second = await openLedger(t, data, { guard, before: [interceptor], engine: { lockTimeoutMs: 50 } });
  const running = large(t, first)({ 'idempotency-key': 'key' });
  await barrier.reached();
  const send = large(t, second);
  const before = await bufferedBytes();
  const calls = Array.from({ length: 30 }, () => send({ 'idempotency-key': 'key' }));
  await poll('the duplicates wait', () => second.outcomes.waiting === 30);
  const grown = (await bufferedBytes()) - before;
  t.true(grown < FEW_REQUESTS, `${grown} bytes`);
  t.is(held(), 2);
  barrier.open();
  t.deepEqual(new Set(await Promise.all([running, ...calls])), new Set([status.OK]));
  t.is(second.entered, 0);
});

test.serial(
  'four calls of a producer wait for its running call, and further calls are refused',
  async (t) => {
    const barrier = openAtTheEnd(t, new Barrier());
    const { interceptor, held } = seenRequests();
    const ledger = await openLedger(t, 'memory', {
      before: [interceptor],
      handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
      guard: { policies },
    });
    const ask = (sequence: number) => ledger.append(undefined, {}, sequenceSettings('producer', sequence));
    const calls = [ask(0)];
    await barrier.reached();
    for (const sequence of [1, 2, 3, 4]) calls.push(ask(sequence));
    await poll('four calls wait', () => ledger.outcomes.waiting === 4);
    const refused = await ask(5);
    assertRefused(t, refused, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    t.regex(refused.details, /4 calls of this producer already wait/);
    // The process refers to the last stream that was announced, so another call must follow the refused call.
    await ledger.connection.call(ledger.definition.Read, {});
    await poll('five requests are held', async () => {
      await bufferedBytes();
      return held() === 5;
    });
    barrier.open();
    for (const reply of await Promise.all(calls)) t.like(reply, { code: status.OK, replayed: false });
    t.like(await ask(5), { code: status.OK, replayed: false });
  },
);

/** A ledger whose first two executions fail with UNAVAILABLE, each after its own barrier. Later executions succeed. */
async function failing(t: ExecutionContext) {
  const barriers = [new Barrier(), new Barrier()].map((barrier) => openAtTheEnd(t, barrier));
  let executions = 0;
  const ledger = await openLedger(t, 'memory', {
    handlers: () =>
      onBoth(async (_account, callback) => {
        const barrier = barriers[executions++];
        await barrier?.pass();
        callback(barrier ? { code: status.UNAVAILABLE, details: 'not now' } : null, {});
      }),
    guard: { policies },
  });
  const waiting = (count: number) => poll(`${count} calls wait`, () => ledger.outcomes.waiting === count);
  return { ledger, waiting, barriers: barriers as [Barrier, Barrier] };
}

test('when two executions store no reply, the duplicates without a request are refused, and a retry executes', async (t) => {
  const { ledger, waiting, barriers } = await failing(t);
  const first = ledger.append('key');
  await barriers[0].reached();
  const second = ledger.append('key');
  await waiting(1);
  const others = [ledger.append('key'), ledger.append('key')];
  await waiting(3);
  barriers[0].open();
  t.like(await first, { code: status.UNAVAILABLE, details: 'not now' });
  await barriers[1].reached();
  await waiting(2);
  barriers[1].open();
  t.like(await second, { code: status.UNAVAILABLE, details: 'not now' });
  for (const other of await Promise.all(others)) {
    assertRefused(t, other, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
    t.regex(other.details, /waited for an execution with this idempotency key, which stored no reply/);
  }
  t.like(await ledger.append('key'), { code: status.OK, replayed: false });
  t.is(ledger.entered, 3);
});

test('when the duplicate with the request leaves, the next duplicate executes in its place', async (t) => {
  const { ledger, waiting, barriers } = await failing(t);
  barriers[1].open();
  const first = ledger.append('key');
  await barriers[0].reached();
  const leaving = new AbortController();
  const second = ledger.append('key', {}, { signal: leaving.signal });
  await waiting(1);
  const without = ledger.append('key');
  await waiting(2);
  leaving.abort();
  t.is((await second).code, status.CANCELLED);
  await waiting(1);
  const third = ledger.append('key');
  await waiting(2);
  barriers[0].open();
  t.is((await first).code, status.UNAVAILABLE);
  t.like(await third, { code: status.UNAVAILABLE, details: 'not now' });
  // This duplicate waited for both executions.
  assertRefused(t, await without, status.UNAVAILABLE, 'IDEMPOTENCY_KEY_IN_PROGRESS', 'RetryInfo');
  t.is(ledger.entered, 2);
});

test('an interceptor between the guard and the handler receives the request of an execution only', async (t) => {
  const { interceptor: after, held } = seenRequests();
  const barrier = openAtTheEnd(t, new Barrier());
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth((_account, callback) => barrier.pass().then(() => callback(null, {}))),
    after: [after],
    guard: { policies },
  });
  const calls = [ledger.append('key')];
  await barrier.reached();
  calls.push(ledger.append('key'));
  await poll('a duplicate waits', () => ledger.outcomes.waiting === 1);
  t.is(held(), 1);
  barrier.open();
  t.deepEqual(
    (await Promise.all(calls)).map(({ replayed }) => replayed),
    [false, true],
  );
  t.is(held(), 1);
});

test('a call with two requests is refused, and nothing executes', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { path } = append(ledger);
  // A second message follows the first one in the same frame of data.
  const send = largeRequests(t, ledger.server.address, path, Buffer.alloc(0), 2);
  t.is(await send({ 'idempotency-key': 'key' }), status.UNIMPLEMENTED);
  t.is(ledger.entered, 0);
  t.like(await ledger.append('key'), { code: status.OK, replayed: false });
});
