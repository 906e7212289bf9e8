import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import {
  type AppendModel,
  emptyAppend,
  encodeAppend,
  field,
  nested,
} from '../../helpers/messages/append-wire.js';
import { chooseUsual } from '../../helpers/messages/encoder-choices.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

const model = (changes: Partial<AppendModel> = {}): Buffer =>
  encodeAppend({ ...emptyAppend, ...changes }, chooseUsual);
const bytes = (...parts: Uint8Array[]) => Buffer.concat(parts);
const line = (sku: string, quantity: number) => ({ sku, quantity });
const label = (key: string, value: string) =>
  nested(3, bytes(field(1, 'string', key), field(2, 'string', value)));
const none = nested(2, Buffer.alloc(0));
const detail = (key: number, content = none) => nested(4, bytes(field(1, 'int32', key), content));
const tag = (...values: number[]) => nested(9, Buffer.from(values));
const negativeZero = { rate: -0 };

/** Pairs of encodings of one message. */
const equal: Record<string, readonly [Uint8Array, Uint8Array]> = {
  'fields in another order': [
    bytes(field(1, 'string', 'a'), field(2, 'int64', 5)),
    bytes(field(2, 'int64', 5), field(1, 'string', 'a')),
  ],
  'map entries in another order': [
    bytes(label('a', '1'), label('b', '2')),
    bytes(label('b', '2'), label('a', '1')),
  ],
  'numeric map entries in another order': [
    bytes(detail(2), detail(10), detail(-1)),
    bytes(detail(-1), detail(10), detail(2)),
  ],
  'maps inside map values in another order': [
    bytes(
      detail(
        1,
        nested(
          2,
          bytes(
            nested(2, bytes(field(1, 'string', 'a'), field(2, 'int64', 1))),
            nested(2, bytes(field(1, 'string', 'b'))),
          ),
        ),
      ),
    ),
    bytes(
      detail(
        1,
        nested(
          2,
          bytes(
            nested(2, field(1, 'string', 'b')),
            nested(2, bytes(field(1, 'string', 'a'), field(2, 'int64', 1))),
          ),
        ),
      ),
    ),
  ],
  'value before key in a map entry': [
    label('a', '1'),
    nested(3, bytes(field(2, 'string', '1'), field(1, 'string', 'a'))),
  ],
  'a map entry that is encoded twice, the last counts': [
    bytes(label('a', 'old'), label('a', '1')),
    label('a', '1'),
  ],
  'an omitted default key and value of a map entry': [label('', ''), nested(3, Buffer.alloc(0))],
  'packed and unpacked numbers': [tag(2, 4, 6), bytes(tag(2), Buffer.from([9 << 3, 4]), tag(6))],
  'explicit defaults': [
    bytes(
      ...[field(1, 'string', ''), field(2, 'int64', 0), field(10, 'bytes', Buffer.alloc(0))],
      ...[field(11, 'int32', 0), field(12, 'double', 0), tag()],
    ),
    Buffer.alloc(0),
  ],
  'explicit defaults inside a message': [
    model({ lines: [line('a', 0)] }),
    nested(8, bytes(field(1, 'string', 'a'), field(2, 'uint32', 0))),
  ],
  'unknown fields': [
    model({ account: 'a' }),
    bytes(field(1_000, 'string', 'from the future'), model({ account: 'a' }), field(99, 'int64', 5)),
  ],
  'unknown fields inside a message': [
    model({ lines: [line('a', 1)] }),
    nested(8, bytes(field(1, 'string', 'a'), field(2, 'uint32', 1), field(77, 'int64', 5))),
  ],
  'a field that is encoded twice, the last counts': [
    bytes(field(1, 'string', 'old'), field(1, 'string', 'a')),
    field(1, 'string', 'a'),
  ],
  'two members of a oneof, the last counts': [
    bytes(field(5, 'string', 'card'), nested(6, field(1, 'string', 'sku'))),
    nested(6, field(1, 'string', 'sku')),
  ],
  'a number in more bytes than it needs': [Buffer.from([16, 5]), Buffer.from([16, 0x85, 0x80, 0])],
};

/** Pairs of encodings of different messages. */
const different: Record<string, readonly [Uint8Array, Uint8Array]> = {
  'an optional field that is present with its default': [field(7, 'string', ''), Buffer.alloc(0)],
  'a message that is present and empty': [nested(13, Buffer.alloc(0)), Buffer.alloc(0)],
  'a oneof that is set to its default': [field(5, 'string', ''), Buffer.alloc(0)],
  'another member of a oneof': [field(5, 'string', ''), nested(6, Buffer.alloc(0))],
  'another value in a oneof': [field(5, 'string', 'a'), field(5, 'string', 'b')],
  'another number': [model({ amountMinor: 1 }), model({ amountMinor: 2 })],
  'a number beyond 2^53 that differs by one': [
    Buffer.from([16, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]),
    Buffer.from([16, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]),
  ],
  'another sign': [model({ amountMinor: 1 }), model({ amountMinor: -1 })],
  'minus zero': [model(negativeZero), model({ rate: 0 })],
  'minus zero and an absent field': [field(12, 'double', -0), Buffer.alloc(0)],
  'another map value': [label('a', '1'), label('a', '2')],
  'another map key': [label('a', '1'), label('b', '1')],
  'swapped map values': [bytes(label('a', '1'), label('b', '2')), bytes(label('a', '2'), label('b', '1'))],
  'one more map entry': [label('a', ''), bytes(label('a', ''), label('b', ''))],
  'an empty map entry and no entry': [label('', ''), Buffer.alloc(0)],
  'a value deep inside': [
    model({ details: [[1, { text: 't', counts: [['c', 1]] }]] }),
    model({ details: [[1, { text: 't', counts: [['c', 2]] }]] }),
  ],
  'another quantity': [model({ lines: [line('a', 1)] }), model({ lines: [line('a', 2)] })],
  'another order of a list': [
    model({ lines: [line('a', 1), line('b', 2)] }),
    model({ lines: [line('b', 2), line('a', 1)] }),
  ],
  'another order of numbers': [model({ tags: [1, 2] }), model({ tags: [2, 1] })],
  'one more empty entry of a list': [
    model({ lines: [line('', 0)] }),
    model({ lines: [line('', 0), line('', 0)] }),
  ],
  'texts shifted between fields': [model({ account: 'ab' }), model({ account: 'a', note: 'b' })],
  'other bytes': [model({ data: Buffer.from([0, 1]) }), model({ data: Buffer.from([0, 2]) })],
  'another unknown enum value': [model({ kind: 77 }), model({ kind: 78 })],
  'another precision of time': [
    model({ booked: { seconds: 1, nanos: 0 } }),
    model({ booked: { seconds: 1, nanos: 1 } }),
  ],
};

for (const [title, pair] of Object.entries(equal)) {
  test(`two encodings are one request: ${title}`, async (t) => {
    const ledger = await openLedger(t, 'memory');
    for (const [one, other] of [pair, pair.toReversed()] as [Uint8Array, Uint8Array][]) {
      const key = randomUUID();
      t.notDeepEqual(Buffer.from(one), Buffer.from(other));
      await ledger.connection.callBytes(ledger.definition.Append, Buffer.from(one), { key });
      const second = await ledger.connection.callBytes(ledger.definition.Append, Buffer.from(other), { key });
      t.like(second, { code: status.OK, replayed: true });
    }
    t.is(ledger.entered, 2);
  });
}

for (const [title, pair] of Object.entries(different)) {
  test(`two requests differ: ${title}`, async (t) => {
    const ledger = await openLedger(t, 'memory');
    for (const [one, other] of [pair, pair.toReversed()] as [Uint8Array, Uint8Array][]) {
      const key = randomUUID();
      await ledger.connection.callBytes(ledger.definition.Append, Buffer.from(one), { key });
      const second = await ledger.connection.callBytes(ledger.definition.Append, Buffer.from(other), { key });
      t.is(second.statusDetails?.errorInfo?.reason, 'IDEMPOTENCY_KEY_REUSED');
    }
    t.is(ledger.entered, 2);
  });
}

test('a handler that changes its request does not change the fingerprint', async (t) => {
  const ledger = await openLedger(t, 'memory', {
    handlers: () => ({
      Append: (call, callback) => {
        Object.assign(call.request, { account: 'changed', labels: {}, lines: [] });
        callback(null, {});
      },
    }),
  });
  const request = { account: 'alice', labels: { a: '1' }, lines: [{ sku: 'a' }] };
  await ledger.append('key', request);
  t.like(await ledger.append('key', request), { replayed: true });
});
