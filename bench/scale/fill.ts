import { createHash } from 'node:crypto';
import type { Database } from 'grpc-replay-guard/database';
import type { RecordAddress } from 'grpc-replay-guard/store';
import type { Engine } from '../servers/subject.js';

/** The number of records in one insert statement. */
const CHUNK = 50_000;
const scopes = Array.from({ length: 1_000 }, (_, index) => `scope ${index}`);
const RETENTION_MS = 24 * 3_600_000;
/** The size of a stored reply. The reply of ReceiveStock has 48 bytes. */
export const REPLY_BYTES = 48;

/** A record of the filled table, for replays. The table stores the first 16 of the 32 bytes of its id. */
export interface FilledRecord extends RecordAddress {
  readonly fingerprint: Buffer;
}

/**
 * Inserts `$1` completed records. The record `i` expires at `$2 + i * $3`. `$4` is the list of scope digests, separated by
 * commas. The ids are random, as digests are. SQLite indexes a materialized list of scopes, and no list of JSON.
 */
const insert: Readonly<Record<Engine, string>> = {
  sqlite: `
    WITH RECURSIVE numbers(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < $1),
      scopes(number, digest) AS MATERIALIZED (SELECT key, value FROM json_each('[' || $4 || ']'))
    INSERT INTO replay_guard_records (id, fingerprint, scope, state, expires_at, reply)
    SELECT randomblob(16), randomblob(32), scopes.digest, 1, CAST($2 + i * $3 AS INTEGER), randomblob(${REPLY_BYTES})
    FROM numbers CROSS JOIN scopes ON scopes.number = i % ${scopes.length}`,
  postgres: `
    INSERT INTO replay_guard_records (id, fingerprint, scope, state, expires_at, reply)
    SELECT gen_random_uuid(), sha256(convert_to(CAST(i AS TEXT), 'UTF8')), scope.digest, 1,
      CAST($2 AS BIGINT) + CAST(i * CAST($3 AS DOUBLE PRECISION) AS BIGINT), convert_to(repeat('r', ${REPLY_BYTES}), 'UTF8')
    FROM generate_series(0, CAST($1 AS INTEGER) - 1) AS i
    JOIN unnest(CAST(string_to_array($4, ',') AS BIGINT[])) WITH ORDINALITY AS scope(digest, number)
      ON scope.number = 1 + i % ${scopes.length}`,
};

const scopeOf = new Map(scopes.map((scope) => [digestOf(scope), scope]));

/**
 * Fills the table with records in the order of their expiry, as claims do. The records share out one retention, so
 * that the first `expired` of them have expired.
 */
export async function fill(
  database: Database,
  { records, expired }: { readonly records: number; readonly expired: number },
): Promise<void> {
  const engine = database.dialect.name;
  const digests = [...scopeOf.keys()].join();
  const stepMs = RETENTION_MS / records;
  // One hour remains before the next record expires, so that the measurement does not change the part.
  const liveFromMs = Date.now() + 3_600_000;
  const firstMs = (index: number) =>
    Math.trunc(
      index < expired ? Date.now() - (expired - index) * stepMs - 1_000 : liveFromMs + index * stepMs,
    );
  for (let index = 0; index < records; ) {
    const end = Math.min(index + CHUNK, index < expired ? expired : records);
    await database.query(insert[engine], [end - index, firstMs(index), stepMs, digests]);
    index = end;
  }
}

/** Updates the statistics, on which the plans of Postgres depend. SQLite uses none. */
export async function analyze(database: Database): Promise<void> {
  if (database.dialect.name === 'postgres') await database.query('VACUUM ANALYZE replay_guard_records');
}

/** Returns about `count` records that have not expired, spread over the whole table. */
export async function sampleRecords(
  database: Database,
  records: number,
  count: number,
): Promise<FilledRecord[]> {
  const every = Math.max(1, Math.floor(records / count / 2));
  const isChosen =
    database.dialect.name === 'postgres' ? `random() * ${every} < 1` : `abs(random()) % ${every} = 0`;
  const rows = await database.query<{ scope: bigint; id: Buffer | string; fingerprint: Buffer }>(
    `SELECT scope, id, fingerprint FROM replay_guard_records
     WHERE expires_at > $1 AND ${isChosen} LIMIT ${count * 2}`,
    [Date.now()],
  );
  const sample = rows.map(({ scope, id, fingerprint }) => ({
    scope: scopeOf.get(scope) as string,
    id: wholeId(id),
    fingerprint,
  }));
  return shuffled(sample).slice(0, count);
}

/** Returns the size of the table of records with its indexes, in bytes. */
export async function tableBytes(database: Database): Promise<number> {
  const [row] = await database.query<{ bytes: bigint }>(
    database.dialect.name === 'postgres'
      ? `SELECT pg_total_relation_size('replay_guard_records') AS bytes`
      : `SELECT sum(pgsize) AS bytes FROM dbstat WHERE name IN
           (SELECT name FROM sqlite_schema WHERE tbl_name = 'replay_guard_records')`,
  );
  return Number(row?.bytes);
}

/** The stored form of a scope. */
function digestOf(scope: string): bigint {
  return createHash('sha256').update(scope).digest().readBigInt64BE();
}

function wholeId(stored: Buffer | string): Buffer {
  const bytes = typeof stored === 'string' ? Buffer.from(stored.replaceAll('-', ''), 'hex') : stored;
  return Buffer.concat([bytes, Buffer.alloc(16)]);
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}
