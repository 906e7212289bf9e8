import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { setImmediate as immediate } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { type Ledger, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';
import { Barrier } from '../../helpers/waiting/barrier.js';
import { poll } from '../../helpers/waiting/poll.js';

const append = (ledger: Ledger, sequence: number, epoch?: number, producer = 'producer') =>
  ledger.append(undefined, { account: 'alice' }, sequenceSettings(producer, sequence, epoch));
const reasonOf = ({ statusDetails }: Awaited<ReturnType<typeof append>>) => statusDetails?.errorInfo?.reason;

/** Delays the `gap` result of a claim of sequence 2 until the barrier opens. */
class SlowClaim extends PassingStore {
  readonly barrier = new Barrier();

  override async claim(request: ClaimRequest) {
    const result = await super.claim(request);
    if (request.series?.sequence === 2n && result.outcome === 'gap') await this.barrier.pass();
    return result;
  }
}

test('a call with a gap claims again if its predecessor arrived during the claim', async (t) => {
  const store = new SlowClaim(new MemoryStore());
  const held = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    guard: { store },
    handlers: () =>
      onBoth(async (account, callback) => {
        if (account === 'held') await held.pass();
        callback(null, {});
      }),
  });
  const producer = randomUUID();
  const call = (sequence: number, account = '') =>
    ledger.append(undefined, { account }, sequenceSettings(producer, sequence));
  await call(0);
  const second = call(2);
  await store.barrier.reached();
  const first = call(1, 'held');
  await held.reached();
  store.barrier.open();
  held.open();
  t.deepEqual([(await first).code, (await second).code], [status.OK, status.OK]);
  t.is(ledger.outcomes.count('executed'), 3);
});

test('calls of a producer execute in order of arrival, not in order of their identity checks', async (t) => {
  const all = new Barrier();
  let scopes = 0;
  /** Waits until all calls have arrived. Then the identity checks end in the reverse order of the sequences. */
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    const rounds = (5 - Number(metadata.get('idempotency-sequence').join())) * 20;
    if (++scopes === 6) all.open();
    if (scopes > 1) await all.pass();
    for (let round = 0; round < rounds; round++) await immediate();
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  await append(ledger, 0);
  const replies = await Promise.all([1, 2, 3, 4, 5].map((sequence) => append(ledger, sequence)));
  for (const reply of replies) t.like(reply, { code: status.OK, replayed: false });
});

test('a long request executes before short requests that were sent later', async (t) => {
  const ledger = await openLedger(t, 'memory');
  await append(ledger, 0);
  // Larger than the flow-control window of a connection, so the short requests end first.
  const long = ledger.append(undefined, { account: 'a'.repeat(1_000_000) }, sequenceSettings('producer', 1));
  const replies = await Promise.all([long, ...[2, 3, 4].map((sequence) => append(ledger, sequence))]);
  for (const reply of replies) t.like(reply, { code: status.OK, replayed: false });
});

/** Opens calls on one HTTP/2 connection. A request stays open until the test ends it. */
const openRequests = (t: ExecutionContext, ledger: Ledger) => {
  const http = connect(`http://${ledger.server.address}`);
  t.teardown(() => http.destroy());
  const begin = (sequence: number, headers: OutgoingHttpHeaders = {}) =>
    http
      .request({
        ...{ ':method': 'POST', ':path': ledger.definition.Append.path },
        ...{ 'content-type': 'application/grpc', te: 'trailers' },
        ...{ ...sequenceSettings('producer', sequence).metadata, ...headers },
      })
      .on('error', () => {});
  const codeOf = async (stream: ClientHttp2Stream) => {
    const [headers] = await once(stream, 'response');
    stream.resume();
    return Number(headers['grpc-status'] ?? status.OK);
  };
  const end = (stream: ClientHttp2Stream) => codeOf(stream.end(Buffer.alloc(5)));
  return { begin, codeOf, end };
};

test('a request that never ends delays later calls of its producer for a limited time', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  begin(1);
  t.is(await end(begin(2)), status.FAILED_PRECONDITION);
  t.is(await end(begin(1)), status.OK);
  t.is(ledger.entered, 2);
});

test('a request that never ends delays retries with a short deadline for a limited time', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  begin(1);
  const isRefused = async () =>
    (await end(begin(2, { 'grpc-timeout': '400m' }))) === status.FAILED_PRECONDITION;
  await poll('the call that never ends no longer delays others', isRefused);
  t.is(ledger.entered, 1);
});

test('after a call exceeds its deadline, later calls still wait for its predecessor', async (t) => {
  const ledger = await openLedger(t, 'memory');
  const { begin, codeOf, end } = openRequests(t, ledger);
  t.is(await end(begin(0)), status.OK);
  const long = begin(1);
  t.is(await codeOf(begin(2, { 'grpc-timeout': '1m' })), status.DEADLINE_EXCEEDED);
  const [again, behind] = [end(begin(2)), end(begin(3))];
  // Requests are processed in the order of sending. After this reply, both requests have ended.
  await end(begin(0, { 'idempotency-producer': 'another' }));
  t.is(await end(long), status.OK);
  t.deepEqual(await Promise.all([again, behind]), [status.OK, status.OK]);
});

test('a call without a verified identity does not delay later calls of its producer', async (t) => {
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    if (metadata.get('idempotency-sequence').join() === '1') throw new Error('the token is invalid');
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  const replies = await Promise.all([0, 1, 2].map((sequence) => append(ledger, sequence)));
  t.deepEqual(replies.map(reasonOf), [undefined, 'IDEMPOTENCY_SCOPE_MISSING', 'IDEMPOTENCY_SEQUENCE_GAP']);
});

test('a slow identity check delays later calls of its producer for a limited time', async (t) => {
  const known = new Barrier();
  const scope: ReplayGuardOptions['scope'] = async ({ metadata }) => {
    if (metadata.get('idempotency-sequence').join() === '1') await known.pass();
    return 'tenant';
  };
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  await append(ledger, 0);
  const first = append(ledger, 1);
  t.is(reasonOf(await append(ledger, 2)), 'IDEMPOTENCY_SEQUENCE_GAP');
  known.open();
  t.is((await first).code, status.OK);
});

test('a call whose identity check ends after the guard closed is refused', async (t) => {
  const known = new Barrier();
  const scope: ReplayGuardOptions['scope'] = async () => known.pass().then(() => 'tenant');
  const ledger = await openLedger(t, 'memory', { guard: { scope } });
  const late = append(ledger, 0);
  await known.reached();
  await ledger.guard.close();
  known.open();
  t.is(reasonOf(await late), 'IDEMPOTENCY_STORE_UNAVAILABLE');
  t.is(ledger.entered, 0);
});

test('a call that is cancelled while it waits for its predecessor does not execute', async (t) => {
  const barrier = new Barrier();
  let received = 0;
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: {
      scope: () => {
        received++;
        return 'tenant';
      },
    },
  });
  const client = new AbortController();
  const first = append(ledger, 0);
  await barrier.reached();
  const second = ledger.append(undefined, {}, { ...sequenceSettings('producer', 1), signal: client.signal });
  await poll('the guard receives the second call', () => received === 2);
  client.abort();
  t.is((await second).code, status.CANCELLED);
  await ledger.outcomes.reached('in_progress');
  barrier.open();
  t.is((await first).code, status.OK);
  t.is(ledger.entered, 1);
  t.is((await append(ledger, 1)).code, status.OK);
});

test('when a waiting call exceeds its wait, the calls after it are refused as in progress too', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
  });
  const first = append(ledger, 0);
  await barrier.reached();
  const { metadata } = sequenceSettings('producer', 1);
  // The second call waits for less than its deadline. The other calls could wait longer.
  const second = ledger.append(undefined, {}, { metadata: { ...metadata, 'grpc-timeout': '1S' } });
  const behind = await Promise.all([second, append(ledger, 2), append(ledger, 3)]);
  barrier.open();
  t.deepEqual(
    behind.map(reasonOf),
    behind.map(() => 'IDEMPOTENCY_KEY_IN_PROGRESS'),
  );
  t.is((await first).code, status.OK);
  t.is(ledger.entered, 1);
});

test('a guard that closes refuses the waiting calls of a producer', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'memory', {
    handlers: () => onBoth(async (_account, callback) => barrier.pass().then(() => callback(null, {}))),
    guard: { waitersPerKey: 1 },
  });
  const first = append(ledger, 0);
  await barrier.reached();
  const second = append(ledger, 1);
  // Only one call may wait.
  t.is(reasonOf(await append(ledger, 0)), 'IDEMPOTENCY_KEY_IN_PROGRESS');
  const closed = ledger.guard.close();
  t.is(reasonOf(await second), 'IDEMPOTENCY_KEY_IN_PROGRESS');
  barrier.open();
  t.is((await first).code, status.OK);
  await closed;
});
