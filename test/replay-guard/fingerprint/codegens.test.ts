import { randomUUID } from 'node:crypto';
import type { sendUnaryData } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { createReplayGuard, type ReplayGuardOptions, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { type Codegen, codegens, emptyParcel, image, type Parcel } from '../../helpers/codegens/index.js';
import { startServer } from '../../helpers/servers/server.js';

/** The policy of Send in parcel.proto, for definitions without options. */
const inCode = {
  '/test.codegen.v1.ParcelService/Send': {
    keyField: 'meta.request_id',
    fingerprintExcludes: ['client_time', 'items.seen_at', 'boxes.seen_at', 'voucher'],
  },
};

/** The sources of the policies and the schema of a code generator's methods. */
const sources = (codegen: Codegen): Record<string, Partial<ReplayGuardOptions>> => ({
  ...(codegen.isBare ? { 'policies in code': { policies: inCode } } : { 'its own options': {} }),
  descriptors: { descriptors: image },
});

async function serve(t: ExecutionContext, codegen: Codegen, options: Partial<ReplayGuardOptions>) {
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), ...options });
  t.teardown(() => guard.close());
  const definition = guard.protect(codegen.service);
  const handler = (_call: unknown, callback: sendUnaryData<object>) => callback(null, codegen.response());
  const handlers = Object.fromEntries(Object.keys(codegen.service).map((name) => [name, handler]));
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[definition, handlers]],
  });
  const client = server.connect();
  /** Sends two requests with one key. Returns `replayed` or the reason of the refusal. */
  return async (method: 'Send' | 'Track', one: Parcel, other: Parcel) => {
    const key = randomUUID();
    const send = (parcel: Parcel) =>
      client.call(codegen.methods[method], codegen.message(withKey(parcel, key)), { key });
    const first = await send(one);
    t.is(first.code, 0, first.details);
    const second = await send(other);
    return second.replayed ? 'replayed' : second.statusDetails?.errorInfo?.reason;
  };
}

/** Sets the key in a request that has a key. */
const withKey = (parcel: Parcel, key: string): Parcel =>
  parcel.meta?.requestId ? { ...parcel, meta: { ...parcel.meta, requestId: key } } : parcel;

const item = { sku: 'a', quantity: 1, seenAt: 5 };
const full: Parcel = {
  ...{ receiver: 'ann', weightGrams: 2 ** 40, rate: 1.5, fragile: true, speed: 2, comment: '' },
  ...{ label: Uint8Array.from([0, 255]), items: [item], marks: [1, -2], payment: { card: 'c' } },
  notes: [
    ['a', '1'],
    ['$unknown', '2'],
    ['', ''],
  ],
  boxes: [
    [2, item],
    [-1, { ...item, sku: 'b' }],
  ],
  ...{ meta: { requestId: 'r', trace: 't' }, clientTimeMs: 1_700_000_000_123 },
};

const without = <K extends keyof Parcel>(field: K): Parcel => {
  const { [field]: _, ...rest } = full;
  return rest as Parcel;
};
const box = (changes: Partial<typeof item>): Pick<Parcel, 'boxes'> => ({
  boxes: [
    [2, { ...item, ...changes }],
    [-1, { ...item, sku: 'b' }],
  ],
});

/** Pairs of requests that are equal for both methods. */
const equal: Record<string, readonly [Parcel, Parcel]> = {
  empty: [emptyParcel, emptyParcel],
  full: [full, { ...full }],
  'map entries in another order': [
    full,
    { ...full, notes: full.notes.toReversed(), boxes: full.boxes.toReversed() },
  ],
};

/** Changes of fields that parcel.proto excludes for Send: equal for Send, different for Track. */
const excluded: Record<string, readonly [Parcel, Parcel]> = {
  'the key field, absent': [full, { ...full, meta: { requestId: '', trace: 't' } }],
  'a message': [full, { ...full, clientTimeMs: 5 }],
  'a message, absent': [full, without('clientTimeMs')],
  'a field in a list': [full, { ...full, items: [{ ...item, seenAt: 0 }] }],
  'a field in a map': [full, { ...full, ...box({ seenAt: 6 }) }],
  'a member of a oneof': [
    { ...full, payment: { voucher: 'a' } },
    { ...full, payment: { voucher: 'b' } },
  ],
  'a member of a oneof, absent': [{ ...full, payment: { voucher: 'a' } }, without('payment')],
};

/** Changes that make different requests for both methods. */
const different: Record<string, readonly [Parcel, Parcel]> = {
  receiver: [full, { ...full, receiver: 'bob' }],
  weightGrams: [full, { ...full, weightGrams: 2 ** 40 + 1 }],
  rate: [full, { ...full, rate: -1.5 }],
  fragile: [full, { ...full, fragile: false }],
  speed: [full, { ...full, speed: 1 }],
  'speed, an unknown value': [
    { ...full, speed: 77 },
    { ...full, speed: 78 },
  ],
  label: [full, { ...full, label: Uint8Array.from([0, 254]) }],
  'items, their number': [full, { ...full, items: [item, item] }],
  'items, their content': [full, { ...full, items: [{ ...item, quantity: 2 }] }],
  marks: [full, { ...full, marks: [-2, 1] }],
  'notes, a value': [
    full,
    {
      ...full,
      notes: [
        ['a', '1'],
        ['$unknown', '3'],
        ['', ''],
      ],
    },
  ],
  'notes, one fewer': [full, { ...full, notes: full.notes.slice(1) }],
  'boxes, their content': [full, { ...full, ...box({ sku: 'z' }) }],
  'boxes, a key': [
    full,
    {
      ...full,
      boxes: [
        [3, item],
        [-1, { ...item, sku: 'b' }],
      ],
    },
  ],
  'payment, its value': [full, { ...full, payment: { card: 'd' } }],
  'payment, another member': [full, { ...full, payment: { goods: item } }],
  'payment, absent': [full, without('payment')],
  'payment, empty': [{ ...full, payment: { card: '' } }, without('payment')],
  'comment, absent': [full, without('comment')],
  'meta, absent': [{ ...full, meta: { requestId: '', trace: '' } }, without('meta')],
  'meta, the other field': [full, { ...full, meta: { requestId: 'r', trace: 'u' } }],
};

for (const codegen of codegens) {
  for (const [source, options] of Object.entries(sources(codegen))) {
    test(`${codegen.name}, ${source}: the fingerprint ignores map order and excluded fields only`, async (t) => {
      const second = await serve(t, codegen, options);
      for (const [title, pair] of Object.entries(equal)) {
        t.is(await second('Send', ...pair), 'replayed', title);
        t.is(await second('Track', ...pair), 'replayed', title);
      }
      for (const [title, pair] of Object.entries(excluded)) {
        t.is(await second('Send', ...pair), 'replayed', title);
        t.is(await second('Track', ...pair), 'IDEMPOTENCY_KEY_REUSED', title);
      }
      for (const [title, [one, other]] of Object.entries(different)) {
        t.is(await second('Send', one, other), 'IDEMPOTENCY_KEY_REUSED', title);
        t.is(await second('Track', other, one), 'IDEMPOTENCY_KEY_REUSED', title);
      }
    });
  }
}
