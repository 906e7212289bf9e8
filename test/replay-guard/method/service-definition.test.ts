import { randomUUID } from 'node:crypto';
import { type handleUnaryCall, type MethodDefinition, type ServiceDefinition, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import {
  createReplayGuard,
  type GenericDefinition,
  type GenericMessage,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { loadLedger } from '../../helpers/servers/ledger.js';
import { startServer } from '../../helpers/servers/server.js';

const ledger = loadLedger();

/** A message type as ts-proto generates it: `fromPartial` drops unknown fields. */
function message(encode: (message: never) => Buffer, decode: (bytes: Buffer) => unknown): GenericMessage {
  return {
    encode: (message) => ({ finish: () => new Uint8Array(encode(message as never)) }),
    decode: (bytes) => decode(Buffer.from(bytes)),
    fromPartial: (partial) => decode(encode(partial as never)),
  };
}

/** The ledger service as a generic definition. */
function generic(): GenericDefinition & { readonly name: string } {
  const methods = Object.entries({ Append: undefined, Touch: 'IDEMPOTENT', Read: 'NO_SIDE_EFFECTS' });
  const entries = methods.map(([name, idempotencyLevel]) => {
    const method = ledger[name] as MethodDefinition<unknown, unknown>;
    const requestType = message(method.requestSerialize, method.requestDeserialize);
    const responseType = message(method.responseSerialize, method.responseDeserialize);
    const streams = { requestStream: false, responseStream: false };
    const options = idempotencyLevel ? { idempotencyLevel } : {};
    return [name.toLowerCase(), { name, requestType, responseType, ...streams, options }];
  });
  return {
    name: 'LedgerService',
    fullName: 'test.v1.LedgerService',
    methods: Object.fromEntries(entries),
  };
}

/** The grpc-js definition that nice-grpc makes of a generic definition. */
function toGrpc({ fullName, methods }: GenericDefinition): ServiceDefinition {
  const entries = Object.entries(methods).map(([name, { requestType, responseType, ...method }]) => {
    const complete = (value: unknown) => responseType.fromPartial?.(value) ?? value;
    const codecs = {
      requestDeserialize: requestType.decode,
      responseSerialize: (value: unknown) => Buffer.from(responseType.encode(complete(value)).finish()),
    };
    return [name, { ...method, path: `/${fullName}/${method.name}`, ...codecs }];
  });
  return Object.fromEntries(entries) as ServiceDefinition;
}

function guardOf(t: ExecutionContext, options: Partial<ReplayGuardOptions> = {}) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  return guard;
}

async function serve(t: ExecutionContext, definition = generic()) {
  const guard = guardOf(t);
  const entered: string[] = [];
  const answering = (name: string, reply: () => object): handleUnaryCall<object, object> => {
    return (_call, callback) => {
      entered.push(name);
      callback(null, reply());
    };
  };
  const handlers = {
    append: answering('append', () => ({ entryId: randomUUID(), balanceMinor: 7, labels: { a: 'b' } })),
    touch: answering('touch', () => ({})),
    read: answering('read', () => ({ balanceMinor: 7 })),
  };
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[toGrpc(guard.protect(definition)), handlers]],
  });
  return { connection: server.connect(), entered };
}

test('a generic definition is guarded: a duplicate replays the first bytes, and another payload is refused', async (t) => {
  const { connection, entered } = await serve(t);
  const append = (account: string) => connection.call(ledger.Append, { account }, { key: 'key' });
  const first = await append('alice');
  t.like(first, { code: status.OK, replayed: false, message: { balanceMinor: '7', labels: { a: 'b' } } });
  const replay = await append('alice');
  t.like(replay, { code: status.OK, replayed: true });
  t.deepEqual(replay.bytes, first.bytes);
  assertRefused(t, await append('bob'), status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  t.deepEqual(entered, ['append']);
});

test('the idempotency levels of a generic definition apply: reads are unguarded, idempotent methods need no key', async (t) => {
  const { connection, entered } = await serve(t);
  const keyless = await connection.call(ledger.Append, {});
  assertRefused(t, keyless, status.INVALID_ARGUMENT, 'IDEMPOTENCY_KEY_MISSING', 'BadRequest');
  t.like(await connection.call(ledger.Read, {}), { code: status.OK, message: { balanceMinor: '7' } });
  t.like(await connection.call(ledger.Read, {}, { key: 'k' }), { code: status.OK, replayed: false });
  t.is((await connection.call(ledger.Touch, {})).code, status.OK);
  t.deepEqual(entered, ['read', 'read', 'touch']);
});

test('protect returns a generic definition and does not change its argument', (t) => {
  const given = generic();
  const codecs = Object.values(given.methods).map(({ responseType }) => responseType.encode);
  const made = guardOf(t).protect(given);
  t.is(made.name, 'LedgerService');
  t.is(made.fullName, 'test.v1.LedgerService');
  t.deepEqual(Object.keys(made.methods), ['append', 'touch', 'read']);
  t.deepEqual(made.methods.touch?.options, { idempotencyLevel: 'IDEMPOTENT' });
  t.deepEqual(
    Object.values(given.methods).map(({ responseType }) => responseType.encode),
    codecs,
  );
});

test('a policy in code applies to the method with its path', (t) => {
  const guard = guardOf(t, { policies: { '/test.v1.LedgerService/Append': { waitMs: 7 } } });
  guard.protect(generic());
  const [append] = guard.methods().filter(({ path }) => path === '/test.v1.LedgerService/Append');
  t.is(append?.policy.waitMs, 7);
  const { protect } = guardOf(t, { policies: { '/test.v1.LedgerService/append': { waitMs: 7 } } });
  t.throws(() => protect(generic()), { message: /\/test\.v1\.LedgerService\/append/ });
});

test('a message type without fromPartial is encoded unchanged', async (t) => {
  const { methods, ...service } = generic();
  const plain = Object.entries(methods).map(([name, method]) => {
    const { encode, decode } = method.responseType;
    return [name, { ...method, responseType: { encode, decode } }];
  });
  const { connection } = await serve(t, { ...service, methods: Object.fromEntries(plain) });
  for (const replayed of [false, true]) {
    const reply = await connection.call(ledger.Append, {}, { key: 'key' });
    t.like(reply, { code: status.OK, replayed, message: { balanceMinor: '7', labels: { a: 'b' } } });
  }
});
