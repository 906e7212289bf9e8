import {
  credentials,
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import {
  createReplayGuard,
  type ReplayGuard,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { type Outcome, sendUntilKnown, withIdempotencyKey } from 'grpc-replay-guard/client';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { REASONS, readStatusDetails, type StatusDetail, statusDetails } from 'grpc-replay-guard/protocol';
import type { OpenStore } from 'grpc-replay-guard/store';
import { classifyFailure } from '#library/client/failure.js';
import { ownMetadata } from '#library/replay-guard/reply/own-metadata.js';
import { Connection, type StreamReply } from '../../helpers/calls/call.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { SkippedTime } from '../../helpers/servers/scripted-server.js';
import { startServer } from '../../helpers/servers/server.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

class Down extends PassingStore {
  override claim(): never {
    throw new Error('down');
  }
}

/** The ways in which a server with a guard runs the handler of a guarded method. */
const ways: Record<string, { readonly guard: Partial<ReplayGuardOptions>; readonly isDown?: true }> = {
  ENFORCE: { guard: {} },
  OBSERVE: { guard: { mode: 'OBSERVE' } },
  OFF: { guard: { mode: 'OFF' } },
  'EXECUTE while the store is down': {
    guard: { policies: { '/test.v1.LedgerService/Append': { onStoreFailure: 'EXECUTE' } } },
    isDown: true,
  },
};

/** Opens a server whose handler gets `KEY_REUSED` or `QUOTA_EXCEEDED` from another server and passes the error on. */
async function openHop(t: ExecutionContext, guard: Partial<ReplayGuardOptions>, isDown: boolean) {
  const far = await openLedger(t, 'memory', { guard: { quotas: { liveKeysPerScope: 1 } } });
  const { client: downstream } = new Connection(far.server.address, credentials.createInsecure());
  t.teardown(() => downstream.close());
  await far.append('used', { account: 'a' });
  const { path, requestSerialize, responseDeserialize } = far.definition.Append;
  const store = new MemoryStore();
  const near = await openLedger(t, 'memory', {
    guard,
    opened: { store: isDown ? new Down(store) : store } as unknown as OpenStore,
    handlers: () =>
      onBoth((account, callback) => {
        const [key = '', code] = account.split(' ');
        const request = { account: 'another' };
        const metadata = withIdempotencyKey(key);
        downstream.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          (error: ServiceError | null) =>
            callback(Object.assign(error as ServiceError, code && { code: Number(code) })),
        );
      }),
  });
  const { client } = new Connection(near.server.address, credentials.createInsecure());
  t.teardown(() => client.close());
  const send = (account: string): Promise<Outcome<unknown>> =>
    sendUntilKnown(
      (metadata, options, callback) =>
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          { account },
          metadata,
          options,
          callback as never,
        ),
      { clock: new SkippedTime(), retryBudgetMs: 1_000 },
    );
  return { far, near, send };
}

function detailsOf(metadata: Metadata | undefined): readonly unknown[] {
  return metadata?.get('grpc-status-details-bin') ?? [];
}

for (const [way, { guard, isDown = false }] of Object.entries(ways)) {
  test(`${way}: the refusal of another server tells a client nothing about its own key`, async (t) => {
    const { far, send } = await openHop(t, guard, isDown);
    t.is(
      (await far.append('used', { account: 'another' })).statusDetails?.errorInfo?.reason,
      'IDEMPOTENCY_KEY_REUSED',
    );
    t.is((await far.append('new')).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_QUOTA_EXCEEDED');
    // The handler reports that it does not know the outcome, or that it got no resources.
    for (const account of [
      `used ${status.UNAVAILABLE}`,
      `used ${status.INTERNAL}`,
      'new',
      `new ${status.ABORTED}`,
    ]) {
      const outcome = await send(account);
      if (account === `new ${status.ABORTED}`) {
        // The code itself says that this attempt did nothing.
        t.like(outcome, { outcome: 'refused', reason: undefined }, account);
      } else {
        t.like(outcome, { outcome: 'unknown', retryLater: true }, account);
        const { lastError } = outcome as { lastError?: ServiceError };
        t.deepEqual(detailsOf(lastError?.metadata), [], account);
      }
    }
  });
}

test('ENFORCE: a stored failure that a handler passes on is the same on replay, without the refusal', async (t) => {
  const { near } = await openHop(t, {}, false);
  const first = await near.append('k', { account: 'used' });
  const second = await near.append('k', { account: 'used' });
  t.is(first.code, status.FAILED_PRECONDITION);
  t.like(second, { code: first.code, details: first.details, replayed: true });
  for (const { trailers } of [first, second]) {
    t.deepEqual(detailsOf(trailers), []);
    t.is(trailers.get('idempotency-expires-at').length, 1);
  }
});

test('a service that is not guarded cannot send refusals and entries of another guard, unary or streaming', async (t) => {
  const far = await openLedger(t, 'memory');
  await far.append('used', { account: 'a' });
  const { trailers: foreign } = await far.append('used', { account: 'another' });
  foreign.set('idempotency-expires-at', '2100-01-01T00:00:00.000Z');
  foreign.set('x-own', 'kept');
  const error = { code: status.UNAVAILABLE, details: 'passed on', metadata: foreign };
  const { definition } = far;
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant() });
  t.teardown(async () => void (await guard.close()));
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [
      [
        definition,
        {
          Append: (call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) => {
            call.sendMetadata(foreign);
            callback(error);
          },
          Touch: (_call: unknown, callback: sendUnaryData<object>) => callback(null, {}, foreign),
          Sweep: (call: ServerWritableStream<object, object>) => {
            call.sendMetadata(foreign);
            call.write({ entryId: 'one' }, () => call.emit('error', error));
          },
        },
      ],
    ],
  });
  const connection = server.connect();
  const replies = [
    await connection.call(definition.Append, { account: 'a' }, { key: 'k' }),
    await connection.call(definition.Touch, {}, { key: 'k' }),
    await connection.stream(definition.Sweep.path, Buffer.alloc(0), { key: 'k' }),
  ];
  t.deepEqual(
    replies.map(({ code }) => code),
    [status.UNAVAILABLE, status.OK, status.UNAVAILABLE],
  );
  t.is((replies[2] as StreamReply).messages.length, 1);
  for (const { trailers, initial } of replies) {
    t.deepEqual(trailers.get('x-own'), ['kept']);
    for (const metadata of [trailers, initial]) {
      const names = Object.keys(metadata?.getMap() ?? {});
      t.deepEqual(
        names.filter((name) => /^idempoten|^grpc-status-details/.test(name)),
        [],
      );
    }
  }
});

test("two guards of one server leave each other's replies and refusals as they are", async (t) => {
  const guards = [1, 2].map(() => createReplayGuard({ store: new MemoryStore(), scope: singleTenant() }));
  const [outer, inner] = guards as [ReplayGuard, ReplayGuard];
  t.teardown(async () => void (await Promise.all(guards.map((guard) => guard.close()))));
  const { Append, Touch } = loadLedger();
  const answer = (_call: unknown, callback: sendUnaryData<object>) => callback(null, {});
  const between: ServerInterceptor = (_method, call) => new ServerInterceptingCall(call);
  const server = await startServer(t, {
    interceptors: [outer.interceptor, between, inner.interceptor],
    services: [
      [outer.protect({ Append }), { Append: answer }],
      [inner.protect({ Touch }), { Touch: answer }],
    ],
  });
  const connection = server.connect();
  const calls = [
    (account: string) => connection.call(Append, { account }, { key: 'k' }),
    (account: string) => connection.call(Touch, { account }, { key: 'k' }),
  ];
  for (const call of calls) {
    t.is((await call('a')).trailers.get('idempotency-expires-at').length, 1);
    t.like(await call('a'), { code: status.OK, replayed: true });
    t.is((await call('b')).statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_REUSED');
  }
});

/** The parts of hostile status details: refusals in several forms, other details, and malformed bytes. */
const refusal = fc.record({
  errorInfo: fc.record({
    reason: fc.oneof(fc.constantFrom(...Object.values(REASONS)), fc.string()),
    domain: fc.constantFrom('grpc-replay-guard', 'grpc-replay-guard', 'shop'),
    metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }),
  }),
});
const detail: fc.Arbitrary<StatusDetail> = fc.oneof(
  refusal,
  fc.record({ retryInfo: fc.record({ retryDelayMs: fc.nat(9_999) }) }),
  fc.record({
    badRequest: fc.constant({ fieldViolations: [{ field: 'f', description: 'grpc-replay-guard' }] }),
  }),
);
const packed = fc
  .tuple(fc.nat(16), fc.constantFrom('', 'grpc-replay-guard', 'IDEMPOTENCY_KEY_REUSED'), fc.array(detail))
  .map(([code, message, details]) => statusDetails(code, message, details));
/** A repeated field, an unknown field, a status inside another message, and a truncated message. */
const reshaped = fc
  .tuple(packed, packed, fc.constantFrom('as it is', 'merged', 'unknown field', 'wrapped', 'cut'), fc.nat())
  .map(([one, other, shape, at]) => {
    if (shape === 'merged') return Buffer.concat([one, other]);
    if (shape === 'unknown field') return Buffer.concat([Buffer.of(0x7a, 1, 0), one]);
    if (shape === 'wrapped') return Buffer.concat([Buffer.of(0x1a), varint(one.length), one]);
    return shape === 'cut' ? one.subarray(0, at % (one.length + 1)) : one;
  });

function varint(value: number): Buffer {
  return value < 128 ? Buffer.of(value) : Buffer.of((value & 127) | 128, ...varint(value >> 7));
}

const anyMetadata = fc.record({
  details: fc.array(reshaped, { maxLength: 3 }),
  texts: fc.array(
    fc.tuple(
      fc.constantFrom('idempotency-expires-at', 'idempotent-replayed', 'idempotency-key', 'x-own'),
      fc.constantFrom('2100-01-01T00:00:00.000Z', 'true', 'text'),
    ),
  ),
});

test('no client finds a refusal of the guard in any answer of a handler', (t) => {
  fc.assert(
    fc.property(anyMetadata, fc.integer({ min: 1, max: 16 }), ({ details, texts }, code) => {
      const metadata = new Metadata();
      for (const [name, value] of texts) metadata.add(name, value);
      for (const value of details) metadata.add('grpc-status-details-bin', value);
      const own = ownMetadata(metadata);
      const { kind, reason, retryAfterMs } = classifyFailure(code, own);
      const plain = new Metadata();
      if (retryAfterMs !== undefined) plain.set('grpc-retry-pushback-ms', String(Math.trunc(retryAfterMs)));
      t.is(kind, classifyFailure(code, plain).kind);
      for (const value of own.get('grpc-status-details-bin') as Buffer[]) {
        // The documented client in Python searches the bytes.
        t.false(value.includes('grpc-replay-guard') && value.includes('IDEMPOTENCY_'));
        const { errorInfo } = readStatusDetails(value);
        t.not(errorInfo?.domain, 'grpc-replay-guard');
      }
      t.true(
        reason === undefined || details.some((value) => readStatusDetails(value).errorInfo !== undefined),
      );
      t.deepEqual(
        Object.keys(own.getMap()).filter((name) => name.startsWith('idempot')),
        [],
      );
    }),
    { numRuns: 500 },
  );
});

test('status details without a refusal pass unchanged, and other details of the same status stay', (t) => {
  const own = { errorInfo: { reason: 'OUT_OF_STOCK', domain: 'shop' } };
  const debug = {
    badRequest: { fieldViolations: [{ field: 'stack', description: 'at grpc-replay-guard/dist' }] },
  };
  const foreign = { errorInfo: { reason: REASONS.KEY_EXPIRED, domain: 'grpc-replay-guard' } };
  const of = (...details: StatusDetail[]) => statusDetails(status.ABORTED, 'no tea', details);
  const through = (...values: Buffer[]) => {
    const metadata = new Metadata();
    for (const value of values) metadata.add('grpc-status-details-bin', value);
    return ownMetadata(metadata).get('grpc-status-details-bin');
  };
  t.deepEqual(through(of(own, debug)), [of(own, debug)]);
  t.deepEqual(through(of(foreign, own, debug)), [of(own, debug)]);
  t.deepEqual(through(of(own, foreign, foreign)), [of(own)]);
  t.deepEqual(through(of(foreign)), []);
  t.deepEqual(through(of(foreign), of(own)), [of(own)]);
  t.deepEqual(through(Buffer.from('no status')), [Buffer.from('no status')]);
  t.deepEqual(through(Buffer.from('\x1a\x7fgrpc-replay-guard')), []);
});
