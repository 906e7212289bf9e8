import test from 'ava';
import { readStatusDetails, statusDetails } from 'grpc-replay-guard/protocol';
import { malformedWire, unknownFields } from '../helpers/messages/malformed-wire.js';
import { decodeStatusDetails } from '../helpers/messages/status-details.js';

test('the reason, the domain and the retry delay of encoded details are read back', (t) => {
  const bytes = statusDetails(14, 'retry', [
    { errorInfo: { reason: 'REASON', domain: 'domain', metadata: { limit: '5' } } },
    { badRequest: { fieldViolations: [{ field: 'key', description: 'is missing' }] } },
    { retryInfo: { retryDelayMs: 1_250 } },
  ]);
  t.deepEqual(readStatusDetails(bytes), {
    errorInfo: { reason: 'REASON', domain: 'domain' },
    retryDelayMs: 1_250,
  });
});

/** The bytes that version 0.2.0 sent for all details. Version 0.2.0 encoded with protobufjs. */
const sentBefore = [
  '080e1208726574727920c3bc1a530a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e72',
  '70632e4572726f72496e666f12270a06524541534f4e1206646f6d61696e1a0a0a056c696d69741201351a09',
  '0a05656d70747912001acb010a29747970652e676f6f676c65617069732e636f6d2f676f6f676c652e727063',
  '2e42616452657175657374129d010a110a036b6579120a6973206d697373696e670a87010a00128201',
  '78'.repeat(130),
  '1a350a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e5265747279496e666f',
  '12090a0708011080e59a771a320a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270',
  '632e5265747279496e666f12060a04080010001a380a28747970652e676f6f676c65617069732e636f6d2f67',
  '6f6f676c652e7270632e5265747279496e666f120c0a0a0880a0b6cef785021000',
].join('');

test('details have the same bytes as in version 0.2.0', (t) => {
  const bytes = statusDetails(14, 'retry ü', [
    { errorInfo: { reason: 'REASON', domain: 'domain', metadata: { limit: '5', empty: '' } } },
    {
      badRequest: {
        fieldViolations: [
          { field: 'key', description: 'is missing' },
          { field: '', description: 'x'.repeat(130) },
        ],
      },
    },
    ...[1_250, 0, 9e15].map((retryDelayMs) => ({ retryInfo: { retryDelayMs } })),
  ]);
  t.is(bytes.toString('hex'), sentBefore);
  t.is(statusDetails(0, '', []).toString('hex'), '08001200');
});

test('unknown fields of other details and of a newer Status are skipped', (t) => {
  const bytes = Buffer.concat([unknownFields, Buffer.from(sentBefore, 'hex'), unknownFields]);
  const read = { errorInfo: { reason: 'REASON', domain: 'domain' }, retryDelayMs: 1_250 };
  t.deepEqual(readStatusDetails(bytes), read);
  t.deepEqual(readStatusDetails(new Uint8Array(bytes)), read);
});

test('a negative code and a negative delay are encoded as int32 and as a Duration', (t) => {
  const bytes = statusDetails(-1, '', [{ retryInfo: { retryDelayMs: -1_500 } }]);
  t.like(decodeStatusDetails(bytes), { code: -1, retryInfo: { retryDelayMs: -1_500 } });
  t.deepEqual(readStatusDetails(bytes), { retryDelayMs: -1_500 });
});

for (const [title, wire] of Object.entries(malformedWire)) {
  test(`malformed bytes give no details: ${title}`, (t) => {
    t.deepEqual(readStatusDetails(Buffer.concat([Buffer.from(sentBefore, 'hex'), wire])), {});
  });
}

test('details without an ErrorInfo or a RetryInfo give neither', (t) => {
  t.deepEqual(readStatusDetails(statusDetails(3, 'invalid', [])), {});
});

test('bytes that are not a google.rpc.Status give no details', (t) => {
  t.deepEqual(readStatusDetails(Buffer.from([0xff, 0xff, 0xff])), {});
});
