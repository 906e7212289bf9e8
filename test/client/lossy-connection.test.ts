import { Client, credentials, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createIdempotencyInterceptor, type SendOptions, sendUntilKnown } from 'grpc-replay-guard/client';
import { engines } from '../helpers/databases/engines.js';
import { type ProxyAction, type ProxyHooks, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { type Ledger, openLedger, type TransferRequest } from '../helpers/servers/guarded-ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';

/** A client behind a proxy that does its worst to the calls of one account. */
async function behindProxy(t: ExecutionContext, ledger: Ledger, fates: ProxyHooks) {
  const proxy = await startGrpcProxy(t, ledger.server.address, fates);
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

/** The fates of one call after the other; what comes after them passes. */
const inOrder = (fates: readonly ProxyAction[]) => {
  const left = [...fates];
  return () => left.shift() ?? 'pass';
};

/** Numbers from 0 to 1, the same for the same seed. */
function seeded(state: number): () => number {
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

for (const engine of engines) {
  test(`${engine}: whatever is lost between client and server, the effect is one, and known`, async (t) => {
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
    t.is(proxy.calls.length, 9, 'more attempts than gRPC would make');
    const sent = ['idempotency-key', 'idempotency-first-sent'] as const;
    for (const name of sent) t.is(new Set(proxy.calls.map(({ headers }) => headers[name])).size, 1);
  });

  test(`${engine}: of 60 operations at once over a bad line each has one effect`, async (t) => {
    const ledger = await openLedger(t, engine);
    const random = seeded(1);
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
    t.true(proxy.calls.length > 65, 'the line was bad');
    t.true(outcomes.some((outcome) => outcome.outcome === 'done' && outcome.replayed));
  });
}

test('a reply that never comes is unknown when the budget is spent, and found out later', async (t) => {
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
    // An attempt may have run out of time before the server had it.
    if (barrier.arrived > 0) now += 60_000;
  };
  const spent = await transfer({ from: 'a' }, { attemptTimeoutMs: 500, clock: { now: () => now, wait } });
  t.like(spent, { outcome: 'unknown', retryLater: true, lastError: { code: status.DEADLINE_EXCEEDED } });
  t.deepEqual(await ledger.effects(), ['a'], 'it was done all the same');
  barrier.open();
  if (spent.outcome !== 'unknown') return;
  t.like(await transfer({ from: 'a' }, { intent: spent }), { outcome: 'done', replayed: true });
  // Of another request under the key it says nothing: the first may have been this one, built otherwise.
  t.like(await transfer({ from: 'b' }, { intent: spent }), {
    outcome: 'unknown',
    retryLater: false,
    lastError: { code: status.FAILED_PRECONDITION },
  });
  t.deepEqual(await ledger.effects(), ['a']);
});

test('a response that is lost though the call succeeded ends the budget with the key', async (t) => {
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
  // The caller thinks that keys are retained for an hour; the trailers know better.
  const given = {
    retentionMs: 3_600_000,
    budgetMs: 3_600_000,
    maxBackoffMs: 8_000,
    initialBackoffMs: 8_000,
    clock,
  };
  t.like(await transfer({}, given), { outcome: 'unknown', retryLater: false });
  t.true(proxy.calls.length < 10);
});
