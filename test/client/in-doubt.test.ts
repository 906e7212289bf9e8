import {
  Client,
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { type SendOptions, sendUntilKnown } from 'grpc-replay-guard/client';
import { type ProxyAction, startGrpcProxy } from '../helpers/proxies/grpc-proxy.js';
import { type LedgerSetup, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import type { AppendRequest, AppendResponse } from '../helpers/servers/ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const MINUTE = 60_000;

/** A guarded ledger behind a proxy. By default the proxy loses the first reply. */
async function lossyLedger(
  t: ExecutionContext,
  setup: LedgerSetup = {},
  losses: ProxyAction[] = ['reset'],
  options: ClientOptions = {},
) {
  const ledger = await openLedger(t, 'sqlite', setup);
  const proxy = await startGrpcProxy(t, ledger.server.address, { reply: () => losses.shift() ?? 'pass' });
  const client = new Client(proxy.address, credentials.createInsecure(), options);
  t.teardown(() => client.close());
  const { path, requestSerialize, responseDeserialize } = ledger.definition.Append;
  /** @param build returns the request of each attempt */
  const append = (build: () => AppendRequest, given: SendOptions = {}) =>
    sendUntilKnown<AppendResponse>(
      (...sent) => client.makeUnaryRequest(path, requestSerialize, responseDeserialize, build(), ...sent),
      { initialBackoffMs: 1, ...given },
    );
  return { ledger, proxy, append };
}

test('a changed request after a lost reply has an unknown outcome, because the first request was executed', async (t) => {
  const { ledger, append } = await lossyLedger(t);
  let built = 0;
  const outcome = await append(() => ({ account: 'a', note: `at ${built++}` }));
  t.like(outcome, { outcome: 'unknown', retryLater: false });
  t.deepEqual(await ledger.effects(), ['a']);
});

test('a refusal by a stricter server after a lost reply has an unknown outcome', async (t) => {
  let isStrict = false;
  const stricter: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        if (isStrict) call.sendStatus({ code: status.INVALID_ARGUMENT, details: 'label too long' });
        else next();
      },
    });
  const { ledger, append } = await lossyLedger(t, { before: [stricter] });
  const outcome = await append(() => {
    isStrict = ledger.entered > 0;
    return { account: 'a' };
  });
  t.like(outcome, { outcome: 'unknown', retryLater: true, lastError: { code: status.INVALID_ARGUMENT } });
  t.deepEqual(await ledger.effects(), ['a']);
  t.like(await append(() => ({ account: 'b' })), { outcome: 'refused', code: status.INVALID_ARGUMENT });
  isStrict = false;
  if (outcome.outcome !== 'unknown') return;
  t.like(await append(() => ({ account: 'a' }), { intent: outcome }), { outcome: 'done', replayed: true });
});

test('a stored INVALID_ARGUMENT refuses the operation after a lost reply', async (t) => {
  const { append } = await lossyLedger(t, {
    handlers: () => onBoth((_account, callback) => callback({ code: status.INVALID_ARGUMENT })),
    guard: { policies: { '/test.v1.LedgerService/Append': { replayedCodes: [status.INVALID_ARGUMENT] } } },
  });
  t.like(await append(() => ({})), { outcome: 'refused', code: status.INVALID_ARGUMENT });
});

for (const [clock, offMs] of [
  ['six minutes fast', 6 * MINUTE],
  ['25 hours slow', -25 * 60 * MINUTE],
] as const) {
  test(`with a client clock ${clock}, a first attempt is refused and a later attempt has an unknown outcome`, async (t) => {
    const { ledger, append } = await lossyLedger(t, {}, []);
    const now = () => Date.now() + offMs;
    const options = { clock: { now, wait: async () => {} }, retentionMs: 48 * 60 * MINUTE };
    const intent = { key: 'k', firstSent: new Date(now()).toISOString() };
    const first = await append(() => ({ account: 'a' }), { ...options, intent, sentBefore: false });
    t.like(first, {
      outcome: 'refused',
      code: status.FAILED_PRECONDITION,
      reason: 'IDEMPOTENCY_KEY_EXPIRED',
    });
    const later = await append(() => ({ account: 'a' }), { ...options, intent });
    t.like(later, { outcome: 'unknown', retryLater: false });
    t.is(ledger.entered, 0);
  });
}

test('with sentBefore, the refusal of one of several hedges has an unknown outcome', async (t) => {
  const barrier = new Barrier();
  const losing: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            if (metadata.get('grpc-previous-rpc-attempts').length > 0) return pass(metadata);
            void barrier.reached().then(() => call.sendStatus({ code: status.UNAUTHENTICATED, details: '' }));
          },
        }),
    });
  const hedgingPolicy = { maxAttempts: 2, hedgingDelay: '0.01s', nonFatalStatusCodes: ['UNAVAILABLE'] };
  const config = JSON.stringify({ methodConfig: [{ name: [{}], hedgingPolicy }] });
  const { ledger, append } = await lossyLedger(
    t,
    {
      before: [losing],
      handlers: (database) =>
        onBoth(async (account, callback) => {
          await writeEffect(database, account);
          await barrier.pass();
          callback(null, {});
        }),
    },
    [],
    { 'grpc.service_config': config },
  );
  const outcome = await append(() => ({ account: 'a' }), { sentBefore: true });
  t.like(outcome, { outcome: 'unknown', lastError: { code: status.UNAUTHENTICATED } });
  barrier.open();
  await poll('the other hedge commits its effect', async () => (await ledger.effects()).length === 1);
});

test('a reply that exceeds the receive limit of the client has an unknown outcome', async (t) => {
  const { ledger, append } = await lossyLedger(
    t,
    {
      handlers: (database) =>
        onBoth(async (account, callback) => {
          await writeEffect(database, account);
          callback(null, { entryId: 'x'.repeat(2_000) });
        }),
    },
    [],
    { 'grpc.max_receive_message_length': 1_000 },
  );
  t.like(await append(() => ({ account: 'a' })), { outcome: 'unknown', retryLater: true });
  t.deepEqual(await ledger.effects(), ['a']);
});

test('metadata that an interceptor adds to one attempt is not sent with the next attempt', async (t) => {
  const traced: Interceptor = (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        metadata.add('x-trace', 'span');
        next(metadata, listener);
      },
    });
  const { proxy, append } = await lossyLedger(t, {}, ['reset', 'reset'], { interceptors: [traced] });
  t.like(await append(() => ({ account: 'a' })), { outcome: 'done' });
  t.deepEqual(
    proxy.calls.map(({ headers }) => headers['x-trace']),
    ['span', 'span', 'span'],
  );
});
