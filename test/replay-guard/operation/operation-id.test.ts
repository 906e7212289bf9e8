import { createHash, createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { scopeFromMetadata } from 'grpc-replay-guard';
import type { Row } from 'grpc-replay-guard/database';
import { engines, freshData } from '../../helpers/databases/engines.js';
import { openLedger } from '../../helpers/servers/guarded-ledger.js';

const parts = ['tenant ä', '/test.v1.LedgerService/Append', 'a-key-that-is-secret'];

function lengthPrefixed(): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      const prefix = Buffer.alloc(4);
      prefix.writeUInt32BE(Buffer.byteLength(part));
      return Buffer.concat([prefix, Buffer.from(part)]);
    }),
  );
}

const ids = {
  'without a pepper': [undefined, createHash('sha256').update(lengthPrefixed()).digest()],
  'with a pepper': ['pepper', createHmac('sha256', 'pepper').update(lengthPrefixed()).digest()],
} as const;

/** Postgres returns an id as a UUID. */
const toHex = ({ id }: Row) => (id instanceof Buffer ? id.toString('hex') : String(id).replaceAll('-', ''));

for (const engine of engines) {
  for (const [title, [pepper, expected]] of Object.entries(ids)) {
    test(`${engine}, ${title}: a record is stored under the digest of scope, method and key`, async (t) => {
      const data = await freshData(t, engine);
      const guard = { scope: () => parts[0], ...(pepper && { pepper }) };
      const ledger = await openLedger(t, data, { guard });
      await ledger.append(parts[2], { account: 'alice' });
      const rows = await ledger.database.query('SELECT id FROM replay_guard_records');
      // The store keeps half of the digest.
      t.deepEqual(rows.map(toHex), [expected.toString('hex', 0, 16)]);
      if (engine === 'sqlite') {
        const path = data.url.slice('sqlite:'.length);
        const files = Buffer.concat([await readFile(path), await readFile(`${path}-wal`)]);
        t.true(files.includes(expected.subarray(0, 16)));
        t.false(files.includes('a-key-that-is-secret'), 'the database has no raw key');
        t.false(files.includes('tenant'), 'the database has no scope');
      }
    });
  }
}

test('guards with equal peppers share keys; guards with different peppers do not', async (t) => {
  const data = await freshData(t, 'sqlite');
  const scope = scopeFromMetadata('x-tenant');
  const ask = async (pepper: string | Buffer) => {
    const ledger = await openLedger(t, data, { guard: { scope, pepper } });
    return ledger.append('key', {}, { metadata: { 'x-tenant': 'a' } });
  };
  t.like(await ask('one'), { code: status.OK, replayed: false });
  t.like(await ask('two'), { code: status.OK, replayed: false });
  t.like(await ask(Buffer.from('one')), { code: status.OK, replayed: true });
});
