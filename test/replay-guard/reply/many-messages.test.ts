import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import test from 'ava';
import fc from 'fast-check';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { encodeReply, type Reply } from '#library/replay-guard/reply/reply.js';
import { exceededLimit } from '#library/replay-guard/reply/sendable.js';
import { assertProperty } from '../../helpers/messages/assert-property.js';
import { feed, openFeed, WATCH, watch } from '../../helpers/servers/feed.js';

test('a stream of empty messages above the limit of the reply is refused, and the refusal is stored', async (t) => {
  const policies = { [WATCH]: { maxReplyBytes: 1_000 } };
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), policies });
  t.teardown(() => guard.close());
  const connection = await openFeed(t, guard, (call) => {
    for (let i = 0; i < Number(call.request.account); i++) call.write('');
    call.end();
  });
  // Each message counts 5 bytes, and the status message `OK` 2 bytes.
  const fits = watch(connection, 'fits', '199');
  t.is((await fits.ended).code, status.OK);
  t.is(fits.texts.length, 199);
  for (const replayed of [false, true]) {
    const large = watch(connection, 'large', '200');
    const { code, metadata } = await large.ended;
    t.is(code, status.RESOURCE_EXHAUSTED);
    t.is(large.texts.length, 0);
    t.deepEqual(metadata.get('idempotent-replayed'), replayed ? ['true'] : []);
  }
});

const entry = fc.oneof(
  fc.tuple(fc.constantFrom('x-a', 'a-long-name-of-an-entry'), fc.string({ unit: 'grapheme-ascii' })),
  fc.tuple(
    fc.constantFrom('x-bin', 'grpc-status-details-bin'),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  ),
);
const metadata = fc.array(entry, { maxLength: 20 }).map((entries) => {
  const filled = new Metadata();
  for (const [name, value] of entries) filled.add(name, value);
  return filled;
});
const replies = fc.record({
  code: fc.constantFrom(status.OK, status.NOT_FOUND, status.UNAUTHENTICATED),
  details: fc.string({ unit: 'grapheme', maxLength: 100 }),
  messages: fc.oneof(
    fc.nat(5_000).map((count) => new Array<Buffer>(count).fill(Buffer.alloc(0))),
    fc.array(fc.nat(20_000).map((length) => Buffer.alloc(length))),
  ),
  ...{ initial: metadata, trailing: metadata },
});
/** The version, the checksum and the status code of a stored reply. They do not depend on the handler. */
const FIXED_BYTES = 9;

test('a reply within its limit is stored in no more bytes than the limit', async (t) => {
  const property = fc.property(replies, (reply: Reply) => {
    const stored = encodeReply(reply, Buffer.alloc(32)).length - FIXED_BYTES;
    // Finds the size as the guard counts it: the least limit that the reply does not exceed.
    const isWithin = (maxReplyBytes: number) =>
      exceededLimit(reply, { streams: true, maxReplyBytes, maxMessageBytes: Infinity })?.part !== 'reply';
    return !isWithin(stored - 1);
  });
  await assertProperty(t, property, 300);
});

/** Sends one call through a guard without a socket. Resolves to how long the reply of `count` messages took. */
function timeToSend(count: number): Promise<number> {
  const policies = { [WATCH]: { maxReplyBytes: 10 * count } };
  const guard = createReplayGuard({ store: new MemoryStore(), scope: singleTenant(), policies });
  const { Watch } = guard.protect(feed);
  const sent = new Metadata();
  sent.set('idempotency-key', 'key');
  return new Promise((resolve) => {
    let began = 0;
    let messages = 0;
    const wire = {
      start(listener: Parameters<ServerInterceptingCallInterface['start']>[0]) {
        listener.onReceiveMetadata(sent);
        listener.onReceiveMessage({ account: 'a' });
        listener.onReceiveHalfClose();
      },
      startRead() {},
      sendMetadata() {},
      sendMessage(_message: unknown, callback: () => void) {
        if (messages++ === 0) began = performance.now();
        queueMicrotask(callback);
      },
      sendStatus: () => void guard.close().then(() => resolve(performance.now() - began)),
      ...{ getAuthContext: () => ({}), getDeadline: () => Number.POSITIVE_INFINITY },
    } as unknown as ServerInterceptingCallInterface;
    const call = guard.interceptor({ path: WATCH, ...(Watch as object) } as never, wire);
    call.start({
      ...{ onReceiveMetadata() {}, onReceiveMessage() {}, onCancel() {} },
      onReceiveHalfClose() {
        for (let i = 0; i < count; i++) call.sendMessage('', () => {});
        call.sendStatus({ code: status.OK, details: 'OK' });
      },
    });
  });
}

test('the time to send a reply grows with the number of its messages, not with the square', async (t) => {
  await timeToSend(1_000);
  const few = await timeToSend(20_000);
  const many = await timeToSend(160_000);
  t.true(many < 40 * Math.max(few, 5), `${few} ms, ${many} ms`);
});
