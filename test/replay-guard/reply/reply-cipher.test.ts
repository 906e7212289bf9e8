import { createDecipheriv, createHash, hkdfSync, randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { MemoryStore } from 'grpc-replay-guard/memory';
import type { OpenStore } from 'grpc-replay-guard/store';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../../helpers/stores/passing-store.js';

const cipherKey = Buffer.alloc(32, 'a cipher key ');
const [KEY_ID, IV, TAG] = [4, 12, 16];

function recordId(key: string): Buffer {
  const hash = createHash('sha256');
  for (const part of ['single', '/test.v1.LedgerService/Append', key]) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest();
}

/** Decrypts a stored reply. Written from the description of the format, independently of the library's code. */
function opened(sealed: Buffer, id: Buffer): Buffer {
  const header = sealed.subarray(0, 1 + KEY_ID + IV);
  const derived = hkdfSync('sha256', cipherKey, id, 'grpc-replay-guard reply', 32);
  const decipher = createDecipheriv('aes-256-gcm', Buffer.from(derived), header.subarray(-IV));
  decipher.setAAD(Buffer.concat([header, id]));
  decipher.setAuthTag(sealed.subarray(-TAG));
  return Buffer.concat([decipher.update(sealed.subarray(header.length, -TAG)), decipher.final()]);
}

/** A store that returns a reply of the test in place of the stored reply. */
class ChangedReplies extends PassingStore {
  reply: Buffer | undefined;
  stored: Buffer = Buffer.alloc(0);
  override async claim(request: never) {
    const result = await super.claim(request);
    if (result.outcome !== 'completed') return result;
    this.stored = result.reply;
    return { ...result, reply: this.reply ?? result.reply };
  }
}

async function open(t: ExecutionContext, guard = {}) {
  const store = new ChangedReplies(new MemoryStore());
  const answer = { id: '' };
  const ledger = await openLedger(t, 'memory', {
    opened: { store } as unknown as OpenStore,
    guard,
    handlers: () => onBoth((_account, callback) => callback(null, { entryId: answer.id })),
  });
  return { ledger, answer, store };
}

// Replies as the first version of the format stored them. Later versions must still read them.
const plain = `01faece4ee080012024f4b1a120a10746865206b6e6f776e20616e7377657222130a0d782d696e697469616c2d62696e
  120201022a0f0a0a782d747261696c696e67120174`;
const encrypted = `e1bd9b8d65dbeca83af2fd9433c3fe1ecae14805386fe1a4d7b81b812a72851f9aaa9bf3a7fe1bae7951f47f76029eb7
  c9717b39745d996e16d22c50b1d1bb364bfd6429cfdbd2773b91a10913737333bfb54d5b1b0669b5e4000b75c742c72dda834b250c38`;

for (const [title, guard, hex] of [
  ['in plain form', {}, plain],
  ['encrypted', { cipherKey }, encrypted],
] as const) {
  test(`a reply that the first version stored ${title} is replayed`, async (t) => {
    const { ledger, store } = await open(t, guard);
    await ledger.append('known-answer');
    store.reply = Buffer.from(hex.replaceAll(/\s/g, ''), 'hex');
    const reply = await ledger.append('known-answer');
    t.like(reply, {
      code: status.OK,
      details: 'OK',
      message: { entryId: 'the known answer' },
      replayed: true,
    });
    t.deepEqual(reply.initial?.get('x-initial-bin'), [Buffer.of(1, 2)]);
    t.deepEqual(reply.trailers.get('x-trailing'), ['t']);
    if (title === 'encrypted') {
      const inside = opened(store.reply, recordId('known-answer'));
      t.is(inside.toString('hex'), plain.replaceAll(/\s/g, ''));
    }
  });
}

test('an encrypted reply decrypts with its own record only, has a unique IV, and is refused after a change', async (t) => {
  const { ledger, answer, store } = await open(t, { cipherKey });
  const ivs = new Set<string>();
  const property = fc.asyncProperty(
    fc.string({ unit: 'grapheme', minLength: 4, maxLength: 300 }),
    fc.nat(),
    fc.integer({ min: 0, max: 7 }),
    async (id, position, bit) => {
      Object.assign(answer, { id });
      store.reply = undefined;
      const key = randomUUID();
      const first = await ledger.append(key);
      t.like(await ledger.append(key), { bytes: first.bytes, replayed: true });
      const sealed = store.stored;
      t.false(sealed.includes(id), 'the stored bytes do not contain the reply');
      t.true(opened(sealed, recordId(key)).includes(id));
      t.throws(() => opened(sealed, recordId(`${key}-`)));
      const iv = sealed.subarray(1 + KEY_ID, 1 + KEY_ID + IV).toString('hex');
      t.false(ivs.has(iv));
      ivs.add(iv);
      store.reply = Buffer.from(sealed);
      const at = position % sealed.length;
      store.reply.writeUInt8(sealed.readUInt8(at) ^ (1 << bit), at);
      const changed = await ledger.append(key);
      assertRefused(t, changed, status.DATA_LOSS, 'IDEMPOTENCY_REPLY_UNREADABLE');
    },
  );
  const seed = Math.trunc(Math.random() * 2 ** 31);
  t.log(`seed ${seed}`);
  await t.notThrowsAsync(fc.assert(property, { numRuns: 100, seed }));
});
