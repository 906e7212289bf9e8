import { crc32 } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import type { Database, Row, SqlColumn } from 'grpc-replay-guard/database';
import { REASONS } from 'grpc-replay-guard/protocol';
import { sequenceSettings } from '../../helpers/calls/sequence-settings.js';
import { type Ledger, openLedger } from '../../helpers/servers/guarded-ledger.js';
import { type Mutation, mutateBytes, mutations } from '../inputs/mutations.js';
import { must, type Target } from '../target.js';

/** A change of one stored value, between the first call of an operation and its repeats. */
interface StoredInput {
  readonly named: 'by a key' | 'by a sequence';
  readonly stored: 'encrypted' | 'plain';
  /** The column, by its name or by its number modulo the number of columns. */
  readonly column: string | number;
  readonly value: Mutated;
}

type Mutated =
  | { readonly kind: 'bytes'; readonly changes: readonly Mutation[] }
  | { readonly kind: 'number'; readonly by: bigint; readonly isDifference: boolean }
  | { readonly kind: 'null' | 'text' | 'of another record' };

const changes: fc.Arbitrary<Mutated> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('bytes'), changes: mutations }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('number'),
      by: fc.oneof(
        fc.constantFrom(-(2n ** 63n), -1n, 0n, 1n, 2n, 3n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n),
        fc.bigInt({ min: -(10n ** 12n), max: 10n ** 12n }),
      ),
      isDifference: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('null', 'text', 'of another record') }) },
);

const tables = { 'by a key': 'replay_guard_records', 'by a sequence': 'replay_guard_producers' };
/** The columns whose content is the result of the operation. Their change must not lead to an execution. */
const CONTENT = new Set(['fingerprint', 'reply', 'replies']);
const reasons = new Set<string>(Object.values(REASONS));
const CIPHER_KEY = Buffer.alloc(32, 7);

/** The stored records of the guard, in a real SQLite file. */
export const repliesTarget: Target<StoredInput> = {
  title: 'stored records that were changed',
  inputs: fc.record({
    named: fc.constantFrom('by a key', 'by a sequence'),
    stored: fc.constantFrom('encrypted', 'plain'),
    column: fc.nat(12),
    value: changes,
  }),
  quickRuns: 60,
  requires: ['refused', 'replayed', 'executed again', 'not stored'],
  planted: 'a changed reply gets a right checksum',
  async open(t, { planted, count }) {
    const policies = Object.fromEntries(
      ['Append', 'Transfer'].map((name) => [`/test.v1.LedgerService/${name}`, { waitMs: 20 }]),
    );
    const ledgers = {
      encrypted: await openLedger(t, 'sqlite', { guard: { cipherKey: CIPHER_KEY, policies } }),
      plain: await openLedger(t, 'sqlite', { guard: { policies } }),
    };
    let calls = 0;
    return {
      async check({ named: chosen, stored, column, value }) {
        const named = planted ? 'by a key' : chosen;
        const ledger = ledgers[planted ? 'plain' : stored];
        const [other, name] = [`o${++calls}`, `n${calls}`];
        await call(ledger, named, other);
        const first = await call(ledger, named, name);
        must(first.code === status.OK, 'the first call fails');
        const records = await ledger.database.query<Row>(
          `SELECT rowid, * FROM ${tables[named]} ORDER BY rowid DESC LIMIT 2`,
        );
        const columns = Object.keys(records[0] ?? {}).filter((each) => each !== 'rowid');
        const changed = planted
          ? 'reply'
          : typeof column === 'string'
            ? column
            : (columns[column % columns.length] as string);
        const [before, elsewhere] = records.map((record) => record[changed]) as [SqlColumn, SqlColumn];
        let after = changedValue(before, value, elsewhere);
        if (planted && Buffer.isBuffer(after)) after = withChecksum(after, before as Buffer);
        if (!(await update(ledger.database, tables[named], changed, after, records[0]?.rowid as bigint)))
          return count('not stored');
        const entered = ledger.entered;
        for (const _ of [1, 2]) {
          const again = await call(ledger, named, name);
          const reason = again.statusDetails?.errorInfo?.reason;
          if (again.code === status.OK && again.replayed) {
            must(
              again.bytes?.equals(first.bytes as Buffer) === true,
              `changed bytes are answered: ${changed}`,
            );
            count('replayed');
          } else if (again.code === status.OK) {
            must(!CONTENT.has(changed), `the operation executes again after a change of ${changed}`);
            count('executed again');
            break;
          } else {
            must(reason !== undefined && reasons.has(reason), `${changed}: ${again.code} ${again.details}`);
            count('refused');
          }
        }
        if (CONTENT.has(changed)) must(ledger.entered === entered, `the handler ran again: ${changed}`);
        await ledger.database.query(`DELETE FROM ${tables[named]}`).catch(() => {});
      },
    };
  },
};

const call = (ledger: Ledger, named: StoredInput['named'], name: string) =>
  named === 'by a key'
    ? ledger.append(name, { account: 'alice' })
    : ledger.append(undefined, { account: 'alice' }, sequenceSettings(name, 0));

function changedValue(before: SqlColumn, value: Mutated, elsewhere: SqlColumn): SqlColumn {
  switch (value.kind) {
    case 'null':
      return null;
    case 'text':
      return 'text';
    case 'of another record':
      return elsewhere;
    case 'bytes':
      return mutateBytes(Buffer.isBuffer(before) ? before : Buffer.from(String(before)), value.changes);
    case 'number': {
      const number = typeof before === 'bigint' || typeof before === 'number' ? BigInt(before) : 0n;
      return BigInt.asIntN(64, value.isDifference ? number + value.by : value.by);
    }
  }
}

/** Returns false if a rule of the table refuses the value. */
async function update(database: Database, table: string, column: string, value: SqlColumn, rowid: bigint) {
  try {
    await database.query(`UPDATE ${table} SET ${column} = $1 WHERE rowid = $2`, [value, rowid]);
    return true;
  } catch {
    return false;
  }
}

/** The planted bug. The checksum of a reply begins with the id of its record, so that both ids must be tried. */
function withChecksum(changed: Buffer, before: Buffer): Buffer {
  const body = Buffer.from(before.subarray(5));
  if (body.length === 0 || changed.length < 6) return changed;
  // A CRC is linear: the difference of two checksums is the checksum of the difference, without the id.
  body.writeUInt8(body.readUInt8(body.length - 1) ^ 1, body.length - 1);
  const difference = crc32(body) ^ crc32(before.subarray(5));
  const header = Buffer.from(before.subarray(0, 5));
  header.writeUInt32BE((header.readUInt32BE(1) ^ difference) >>> 0, 1);
  return Buffer.concat([header, body]);
}
