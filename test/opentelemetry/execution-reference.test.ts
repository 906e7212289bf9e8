import { Metadata } from '@grpc/grpc-js';
import test from 'ava';
import { decodeReply, encodeReply } from '#library/replay-guard/reply/reply.js';

const id = Buffer.alloc(32, 7);
const initial = new Metadata();
const trailing = new Metadata();
trailing.set('note', 'kept');
const reply = { code: 0, details: '', messages: [Buffer.from('bytes')], initial, trailing };

test('a stored reply keeps the reference to its execution, and its answer stays equal', (t) => {
  const reference = Buffer.alloc(25, 3);
  const [plain, traced] = [encodeReply(reply, id), encodeReply(reply, id, reference)];
  t.is(traced.length - plain.length, 27);
  const { execution, ...answer } = decodeReply(traced, id);
  t.deepEqual(execution, reference);
  t.deepEqual(answer, decodeReply(plain, id));
});
