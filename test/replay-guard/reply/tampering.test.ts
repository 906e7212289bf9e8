import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { ReplayGuardOptions } from 'grpc-replay-guard';
import type { SqlColumn } from 'grpc-replay-guard/database';
import { assertRefused } from '../../helpers/calls/assert-refused.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../../helpers/databases/engines.js';
import { type Ledger, openLedger } from '../../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);
const cipherKey = Buffer.alloc(32, 7);
const [HEADER, KEY_ID, IV, TAG] = [1, 4, 12, 16];

interface Stored {
  readonly id: SqlColumn;
  readonly reply: Buffer;
}

async function open(t: ExecutionContext, engine: Engine, guard: Partial<ReplayGuardOptions> = {}) {
  const ledger = await openLedger(t, await emptied(t, engine), { guard });
  const { database } = ledger;
  const read = () => database.query<Stored>('SELECT id, reply FROM replay_guard_records');
  const write = ({ id }: Stored, reply: Buffer | null) =>
    database.query('UPDATE replay_guard_records SET reply = $1 WHERE id = $2', [reply, id]);
  return { ledger, read, write };
}

/** Calls twice: the operation of an unreadable reply never executes again. */
async function assertLost(t: ExecutionContext, ledger: Ledger, key = 'key') {
  for (const _ of [1, 2])
    assertRefused(
      t,
      await ledger.append(key, { account: 'alice' }),
      status.DATA_LOSS,
      'IDEMPOTENCY_REPLY_UNREADABLE',
    );
}

const flipped = (reply: Buffer, at: number, bit = 1) => {
  const changed = Buffer.from(reply);
  changed.writeUInt8(changed.readUInt8(at) ^ bit, at);
  return changed;
};

test('sqlite: a fingerprint or an expiry of another type never leads to an execution or to an internal error', async (t) => {
  const { ledger } = await open(t, 'sqlite');
  const first = await ledger.append('key', { account: 'alice' });
  const set = (column: string, value: SqlColumn) =>
    ledger.database.query(`UPDATE replay_guard_records SET ${column} = $1`, [value]);
  await set('expires_at', Buffer.of(1));
  t.like(await ledger.append('key', { account: 'alice' }), { bytes: first.bytes, replayed: true });
  await set('fingerprint', 7n);
  const refused = await ledger.append('key', { account: 'alice' });
  assertRefused(t, refused, status.FAILED_PRECONDITION, 'IDEMPOTENCY_KEY_REUSED');
  t.is(ledger.entered, 1);
});

for (const engine of engines) {
  for (const [title, guard] of Object.entries({ encrypted: { cipherKey }, plain: {} })) {
    test.serial(
      `${engine}, ${title}: a changed reply is refused as unreadable, and its operation never executes again`,
      async (t) => {
        const { ledger, read, write } = await open(t, engine, guard);
        const first = await ledger.append('key', { account: 'alice' });
        const [record] = (await read()) as [Stored];
        const whole = record.reply;
        const body = HEADER + KEY_ID + IV;
        const changed: Record<string, Buffer | null> = {
          'in its header': flipped(whole, 0),
          'in its key id': flipped(whole, HEADER),
          'in its iv': flipped(whole, HEADER + KEY_ID),
          'in its body': flipped(whole, body, 0x80),
          'in its tag': flipped(whole, whole.length - TAG),
          'in its last byte': flipped(whole, whole.length - 1),
          'cut to nothing': Buffer.alloc(0),
          'cut to its header': whole.subarray(0, HEADER),
          'cut before its body': whole.subarray(0, body),
          'cut to less than a tag': whole.subarray(0, body + TAG - 1),
          'cut to an empty body': whole.subarray(0, body + TAG),
          'cut by a byte': whole.subarray(0, -1),
          'made longer': Buffer.concat([whole, Buffer.of(0)]),
          'all zero': Buffer.alloc(whole.length),
          'set to null': null,
        };
        for (const reply of Object.values(changed)) {
          await write(record, reply);
          await assertLost(t, ledger);
        }
        t.is(ledger.entered, 1);
        t.deepEqual(await ledger.effects(), ['alice']);
        await write(record, whole);
        t.like(await ledger.append('key', { account: 'alice' }), { bytes: first.bytes, replayed: true });
      },
    );

    test.serial(`${engine}, ${title}: two swapped replies are both refused as unreadable`, async (t) => {
      const { ledger, read, write } = await open(t, engine, guard);
      const keys = ['one', 'two'];
      for (const key of keys) await ledger.append(key, { account: 'alice' });
      const [one, two] = (await read()) as [Stored, Stored];
      await write(one, two.reply);
      await write(two, one.reply);
      for (const key of keys) await assertLost(t, ledger, key);
      t.is(ledger.entered, 2);
    });
  }

  test.serial(
    `${engine}: a guard with a cipher key refuses a plain reply unless readsPlaintext is set`,
    async (t) => {
      const data = await emptied(t, engine);
      const plain = await openLedger(t, data);
      const first = await plain.append('key', { account: 'alice' });
      const encrypting = await openLedger(t, data, { guard: { cipherKey } });
      await assertLost(t, encrypting);
      const reading = await openLedger(t, data, {
        guard: { cipherKey: { current: cipherKey, readsPlaintext: true } },
      });
      t.like(await reading.append('key', { account: 'alice' }), { bytes: first.bytes, replayed: true });
      t.is(encrypting.entered + reading.entered, 0);
    },
  );

  test.serial(`${engine}: an encrypted reply is unreadable without its key`, async (t) => {
    const data = await emptied(t, engine);
    const encrypting = await openLedger(t, data, { guard: { cipherKey } });
    await encrypting.append('key', { account: 'alice' });
    for (const guard of [{}, { cipherKey: Buffer.alloc(32, 8) }]) {
      const other = await openLedger(t, data, { guard });
      await assertLost(t, other);
      t.is(other.entered, 0);
    }
    t.is((await encrypting.append('key', { account: 'alice' })).replayed, true);
  });
}
