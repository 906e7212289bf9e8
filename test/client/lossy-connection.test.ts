import { Client, credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createIdempotencyInterceptor, type SendOptions, sendUntilKnown } from 'grpc-replay-guard/client';
import { engines } from '../helpers/databases/engines.js';
import { seededRandom } from '../helpers/faults/seeded-random.js';
import { type ProxyAction, type ProxyHooks, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { type Ledger, openLedger, type TransferRequest } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** A client behind a proxy. The hooks decide which requests and replies the proxy loses. */
async function behindProxy(t: ExecutionContext, ledger: Ledger, hooks: ProxyHooks) {
  const proxy = await startGrpcProxy(t, ledger.server.address, hooks);
  const options = { interceptors: [createIdempotencyInterceptor()], 'grpc.initial_reconnect_backoff_ms': 10 };
  const client = new Client(proxy.address, credentials.createInsecure(), options);
  t.teardown(() => client.close());
  const { path, requestSerialize, responseDeserialize } = ledger.definition.Transfer;
  const transfer = (request: TransferRequest, given: SendOptions = {}) =>
    sendUntilKnown<{ transferId?: string }>(
      (...sent) => client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, ...sent),
      { initialBackoffMs: 10, maxBackoffMs: 100, ...given },
    );
  return { proxy, transfer };
}

/** Returns a hook that chooses the given actions one after another, and then always `pass`. */
const inOrder = (actions: readonly ProxyAction[]) => {
  const remaining = [...actions];
  return () => remaining.shift() ?? 'pass';
};

for (const engine of engines) {
  test(`${engine}: an operation with lost requests and replies has one effect and a known outcome`, async (t) => {
    const ledger = await openLedger(t, engine);
    const requests: ProxyAction[] = ['cut', 'pass', 'reset', 'pass', 'pass', 'cut', 'pass', 'pass'];
    const replies: ProxyAction[] = ['cut', 'reset', 'empty', 'cut', 'reset'];
    const { proxy, transfer } = await behindProxy(t, ledger, {
      request: inOrder(requests),
      reply: inOrder(replies),
    });
    const outcome = await transfer({ from: 'a', amountMinor: 5 });
    t.like(outcome, { outcome: 'done', replayed: true });
    if (outcome.outcome !== 'done') return;
    t.regex(String(outcome.response.transferId), /^[0-9a-f-]{36}$/);
    t.true((outcome.expiresAt?.getTime() ?? 0) > Date.now());
    t.deepEqual(await ledger.effects(), ['a']);
    t.is(ledger.entered, 1);
    t.is(proxy.calls.length, 9, 'sendUntilKnown makes more attempts than a gRPC retry policy');
    const sent = ['idempotency-key', 'idempotency-first-sent'] as const;
    for (const name of sent) t.is(new Set(proxy.calls.map(({ headers }) => headers[name])).size, 1);
  });

  test(`${engine}: each of 60 concurrent operations over a lossy connection has one effect`, async (t) => {
    const ledger = await openLedger(t, engine);
    const random = seededRandom(1);
    const { transfer, proxy } = await behindProxy(t, ledger, {
      request: () => (random() < 0.08 ? 'reset' : 'pass'),
      reply: () => (random() < 0.15 ? 'reset' : random() < 0.03 ? 'cut' : 'pass'),
    });
    const accounts = Array.from({ length: 60 }, (_, index) => `account ${String(index).padStart(2, '0')}`);
    const outcomes = await Promise.all(accounts.map((from) => transfer({ from })));
    t.deepEqual(
      outcomes.map(({ outcome }) => outcome),
      accounts.map(() => 'done'),
    );
    t.deepEqual(await ledger.effects(), accounts);
    t.true(proxy.calls.length > 65, 'some attempts were lost');
    t.true(outcomes.some((outcome) => outcome.outcome === 'done' && outcome.replayed));
  });
}

test('a reply after the retry budget leaves the outcome unknown, and a later call finds the outcome', async (t) => {
  const barrier = new Barrier();
  const ledger = await openLedger(t, 'sqlite');
  const { transfer } = await behindProxy(t, ledger, {
    reply: async (): Promise<ProxyAction> => {
      await barrier.pass();
      return 'pass';
    },
  });
  let now = Date.now();
  const wait = async () => {
    // The first attempts may time out before the server receives them. The clock advances when the proxy has a reply.
    if (barrier.arrived > 0) now += 60_000;
  };
  const spent = await transfer({ from: 'a' }, { attemptTimeoutMs: 500, clock: { now: () => now, wait } });
  t.like(spent, { outcome: 'unknown', retryLater: true, lastError: { code: status.DEADLINE_EXCEEDED } });
  t.deepEqual(await ledger.effects(), ['a'], 'the handler committed the effect');
  barrier.open();
  if (spent.outcome !== 'unknown') return;
  t.like(await transfer({ from: 'a' }, { intent: spent }), { outcome: 'done', replayed: true });
  // A different request under the key stays unknown: both requests may be the same operation, built by different code.
  t.like(await transfer({ from: 'b' }, { intent: spent }), {
    outcome: 'unknown',
    retryLater: false,
    lastError: { code: status.FAILED_PRECONDITION },
  });
  t.deepEqual(await ledger.effects(), ['a']);
});

test('the retry budget ends with the retention that the trailers report', async (t) => {
  const policies = { '/test.v1.LedgerService/Transfer': { retentionMs: 30_000 } };
  const ledger = await openLedger(t, 'sqlite', { guard: { policies } });
  const { transfer, proxy } = await behindProxy(t, ledger, { reply: () => 'empty' });
  let now = Date.now();
  const clock = {
    now: () => now,
    wait: async (ms: number) => {
      now += ms;
    },
  };
  // The caller assumes a retention of an hour. The trailers report 30 seconds.
  const given = {
    retentionMs: 3_600_000,
    retryBudgetMs: 3_600_000,
    maxBackoffMs: 8_000,
    initialBackoffMs: 8_000,
    clock,
  };
  t.like(await transfer({}, given), { outcome: 'unknown', retryLater: false });
  t.true(proxy.calls.length < 10);
});
