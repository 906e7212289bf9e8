import { crc32 } from 'node:zlib';
import { Metadata } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import {
  decodeReply,
  encodeReply,
  type Reply,
  UnreadableReplyError,
} from '#library/replay-guard/reply/reply.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { malformedWire, unknownFields } from '../../helpers/messages/malformed-wire.js';

const recordId = Buffer.alloc(32, 7);

function metadata(...entries: (readonly [string, string | Buffer])[]): Metadata {
  const filled = new Metadata();
  for (const [name, value] of entries) filled.add(name, value);
  return filled;
}

const reply = (changes: Partial<Reply>): Reply => ({
  ...{ code: 0, details: '', messages: [], initial: metadata(), trailing: metadata() },
  ...changes,
});

/** Replies, each with the bytes that version 0.2.0 stored for it. Version 0.2.0 encoded with protobufjs. */
const stored: Record<string, readonly [Reply, string]> = {
  'a message': [reply({ messages: [Buffer.from('\n\x03abc')] }), '011d524c22080012001a050a03616263'],
  'an empty message': [reply({ messages: [Buffer.alloc(0)] }), '01601c53fd080012001a00'],
  'a stream with a long entry': [
    reply({
      ...{ code: 16, details: 'x', messages: [Buffer.alloc(0), Buffer.alloc(200, 1), Buffer.of(1)] },
      trailing: metadata(['x-long', 'v'.repeat(130)]),
    }),
    `01ec5ee03c08101201781a001ac801${'01'.repeat(200)}1a01012a8d010a06782d6c6f6e67128201${'76'.repeat(130)}`,
  ],
  'a failure with metadata': [
    reply({
      ...{ code: 5, details: 'no account „é😀' },
      initial: metadata(['x-a', 'one'], ['x-a', 'two']),
      trailing: metadata(['x-b-bin', Buffer.of(0, 255)], ['grpc-status-details-bin', Buffer.of(8, 5)]),
    }),
    '018ca1245c080512146e6f206163636f756e7420e2809ec3a9f09f9880220a0a03782d6112036f6e65220a0a03782d61120374776f2a0d0a07782d622d62696e120200ff2a1d0a17677270632d7374617475732d64657461696c732d62696e12020805',
  ],
};

const parts = ({ code, details, messages, initial, trailing }: Reply) => ({
  ...{ code, details, messages, initial: initial.toJSON(), trailing: trailing.toJSON() },
});

for (const [title, [value, bytes]] of Object.entries(stored)) {
  test(`${title}: the bytes of version 0.2.0 are decoded, and the same bytes are stored`, (t) => {
    t.deepEqual(parts(decodeReply(Buffer.from(bytes, 'hex'), recordId)), parts(value));
    t.is(encodeReply(value, recordId).toString('hex'), bytes);
  });
}

/** The stored form of a body, with the right version and checksum. */
function withChecksum(body: Uint8Array): Buffer {
  const header = Buffer.alloc(5, 1);
  header.writeUInt32BE(crc32(body, crc32(recordId)), 1);
  return Buffer.concat([header, body]);
}

const failure = stored['a failure with metadata'] as readonly [Reply, string];
const failureBody = Buffer.from(failure[1], 'hex').subarray(5);

test('unknown fields of a newer version are skipped, in the reply and in an entry of metadata', (t) => {
  const entry = Buffer.concat([Buffer.of(0x0a, 1, 0x61), unknownFields, Buffer.of(0x12, 1, 0x62)]);
  const initial = Buffer.concat([Buffer.of(0x22, entry.length), entry]);
  const body = Buffer.concat([unknownFields, failureBody, unknownFields, initial]);
  const read = decodeReply(withChecksum(body), recordId);
  t.deepEqual(
    parts(read),
    parts({ ...failure[0], initial: metadata(['x-a', 'one'], ['x-a', 'two'], ['a', 'b']) }),
  );
});

const isUnreadable = { instanceOf: UnreadableReplyError };

for (const [title, wire] of Object.entries(malformedWire)) {
  test(`a reply with a right checksum is unreadable: ${title}`, (t) => {
    t.throws(() => decodeReply(withChecksum(Buffer.concat([failureBody, wire])), recordId), isUnreadable);
  });
}

test('a reply whose metadata gRPC does not accept is unreadable', (t) => {
  t.throws(() => decodeReply(withChecksum(Buffer.from('22050a03782061', 'hex')), recordId), isUnreadable);
});

test('every prefix of a body, and random bytes, are decoded or unreadable', async (t) => {
  const cut = fc.nat({ max: failureBody.length }).map((length) => failureBody.subarray(0, length));
  const property = fc.property(fc.oneof(cut, fc.uint8Array({ maxLength: 200 })), (body) => {
    try {
      decodeReply(withChecksum(body), recordId);
    } catch (error) {
      t.true(error instanceof UnreadableReplyError);
    }
  });
  await assertProperty(t, property, 2_000);
});
