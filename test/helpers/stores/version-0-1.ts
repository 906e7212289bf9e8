import { createHash } from 'node:crypto';
import type { Row, SqlValue } from 'grpc-replay-guard/database';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import type { DatabaseEngine } from '#library/database/engine.js';
import { openPostgresEngine } from '#library/database/postgres/open.js';
import { openSqliteEngine } from '#library/database/sqlite/open.js';
import type { Engine } from '../databases/engines.js';
import type { Cleanup } from '../databases/postgres.js';

// The SQL of version 0.1, as that version sent it, without the parts that only decide on a refused claim.

const scopeIndex = 'CREATE INDEX replay_guard_records_scope ON replay_guard_records (scope)';
const producerIndexes = [
  'CREATE INDEX replay_guard_producers_expiry ON replay_guard_producers (expires_minute)',
  'CREATE INDEX replay_guard_producers_scope ON replay_guard_producers (scope)',
];

/** For each engine: the table of keys, its expiry index, and the table of series. */
const tables: Readonly<Record<Engine, readonly [string, string, string]>> = {
  sqlite: [
    `CREATE TABLE replay_guard_records (
      id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
      fingerprint BLOB NOT NULL,
      scope INTEGER NOT NULL,
      state INTEGER NOT NULL,
      fence INTEGER,
      lease_until INTEGER,
      expires_at INTEGER NOT NULL,
      reply BLOB
    )`,
    'CREATE INDEX replay_guard_records_expiry ON replay_guard_records (expires_at)',
    `CREATE TABLE replay_guard_producers (
      id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
      fingerprint BLOB NOT NULL,
      scope INTEGER NOT NULL,
      state INTEGER NOT NULL,
      epoch INTEGER NOT NULL,
      sequence INTEGER NOT NULL,
      completed INTEGER NOT NULL,
      fence INTEGER NOT NULL,
      lease_until INTEGER NOT NULL,
      expires_at INTEGER NOT NULL,
      expires_minute INTEGER NOT NULL,
      replies BLOB NOT NULL
    )`,
  ],
  postgres: [
    `CREATE TABLE replay_guard_records (
      scope BIGINT NOT NULL,
      fence BIGINT,
      lease_until BIGINT,
      expires_at BIGINT NOT NULL,
      id UUID NOT NULL PRIMARY KEY,
      state SMALLINT NOT NULL,
      fingerprint BYTEA NOT NULL,
      reply BYTEA
    )`,
    'CREATE INDEX replay_guard_records_expiry ON replay_guard_records ((expires_at / 1000))',
    `CREATE TABLE replay_guard_producers (
      scope BIGINT NOT NULL,
      epoch BIGINT NOT NULL,
      sequence BIGINT NOT NULL,
      completed BIGINT NOT NULL,
      fence BIGINT NOT NULL,
      lease_until BIGINT NOT NULL,
      expires_at BIGINT NOT NULL,
      expires_minute BIGINT NOT NULL,
      id UUID NOT NULL PRIMARY KEY,
      state SMALLINT NOT NULL,
      fingerprint BYTEA NOT NULL,
      replies BYTEA NOT NULL
    ) WITH (fillfactor = 50)`,
  ],
};

const versions =
  'CREATE TABLE IF NOT EXISTS replay_guard_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)';
const setVersion =
  "INSERT INTO replay_guard_schema (component, version) VALUES ('grpc-replay-guard', CAST($1 AS BIGINT))";

const mayBeTakenOver = (now: string, record: string) =>
  `${record}.state <= 0 AND ${record}.lease_until <= ${now} AND ${record}.fingerprint = $2`;
const inTime = (now: string) => `$6 + $5 > ${now} AND $7 <= ${now} + 300000`;
const retainedUntil = (now: string) =>
  `CASE WHEN $6 BETWEEN ${now} AND ${now} + 300000 THEN $6 ELSE ${now} END + $5`;
const later = (column: string) =>
  `CASE WHEN record.${column} > excluded.${column} THEN record.${column} ELSE excluded.${column} END`;
const nextFence = (now: string) => `CASE WHEN record.fence >= ${now} THEN record.fence + 1 ELSE ${now} END`;

const claimKey = (now: string) => `
  INSERT INTO replay_guard_records AS record (id, fingerprint, scope, state, fence, lease_until, expires_at)
  SELECT $1, $2, $3, 0, ${now}, ${now} + $4, ${retainedUntil(now)}
  WHERE ${inTime(now)} AND (TRUE)
  ON CONFLICT (id) DO UPDATE SET
    fingerprint = excluded.fingerprint, scope = excluded.scope,
    state = CASE WHEN record.expires_at <= ${now} THEN 0 ELSE -1 END,
    fence = ${nextFence(now)},
    lease_until = excluded.lease_until, expires_at = ${later('expires_at')}, reply = NULL
  WHERE record.expires_at <= ${now} OR (${mayBeTakenOver(now, 'record')})
  RETURNING state AS claimed, fence, expires_at`;

const epoch = 'CAST($8 AS BIGINT)';
const sequence = 'CAST($9 AS BIGINT)';
const isFirst = `${sequence} <= 1`;
const isNext = (record: string) =>
  `(${record}.completed = ${sequence} - 1 OR (${record}.completed = -1 AND ${isFirst}))`;
const isClaimable = (now: string, record: string) => `
  CASE WHEN ${record}.expires_at <= ${now} THEN ${isFirst}
    WHEN ${record}.epoch < ${epoch} THEN ${isFirst} AND (${record}.state > 0 OR ${record}.lease_until <= ${now})
    WHEN ${record}.epoch > ${epoch} THEN FALSE
    WHEN ${record}.state > 0 THEN ${isNext(record)}
    ELSE ${record}.sequence = ${sequence} AND ${mayBeTakenOver(now, record)} END`;
const goesOn = (now: string) => `record.expires_at > ${now} AND record.epoch = excluded.epoch`;

const claimSequence = (now: string) => `
  INSERT INTO replay_guard_producers AS record (id, fingerprint, scope, state, fence, lease_until, expires_at,
    expires_minute, epoch, sequence, completed, replies)
  SELECT $1, $2, $3, 0, ${now}, ${now} + $4, ${retainedUntil(now)}, (${retainedUntil(now)}) / 60000, ${epoch}, ${sequence}, -1, $10
  WHERE ${inTime(now)} AND (
    (${isFirst} AND NOT EXISTS (SELECT 1 FROM replay_guard_producers WHERE id = $1))
    OR EXISTS (
      SELECT 1 FROM replay_guard_producers AS held WHERE id = $1 AND ${isClaimable(now, 'held')}))
  ON CONFLICT (id) DO UPDATE SET
    fingerprint = excluded.fingerprint, scope = excluded.scope,
    state = CASE WHEN ${goesOn(now)} AND record.state <= 0 THEN -1 ELSE 0 END,
    fence = ${nextFence(now)}, lease_until = excluded.lease_until,
    expires_at = ${later('expires_at')}, expires_minute = ${later('expires_minute')},
    epoch = excluded.epoch, sequence = excluded.sequence,
    completed = CASE WHEN ${goesOn(now)} THEN record.completed ELSE -1 END,
    replies = CASE WHEN ${goesOn(now)} THEN record.replies ELSE excluded.replies END
  WHERE ${isClaimable(now, 'record')}
  RETURNING state AS claimed, fence, expires_at, replies`;

const completeKey = `
  UPDATE replay_guard_records SET state = 1, fence = NULL, lease_until = NULL, reply = $3
  WHERE id = $1 AND fence = $2 AND state <= 0 RETURNING fence`;
const completeSequence = `
  UPDATE replay_guard_producers SET state = 1, completed = sequence, replies = $3
  WHERE id = $1 AND fence = $2 AND state <= 0 RETURNING fence`;

const erasures = (now: string, empty: string) => [
  `UPDATE replay_guard_records SET state = 2, scope = 0, fingerprint = $2, reply = NULL
   WHERE scope = $1 AND state = 1 RETURNING state`,
  `UPDATE replay_guard_producers SET scope = 0, fence = fence + 1,
     fingerprint = CASE WHEN state = 1 THEN $2 ELSE fingerprint END, replies = ${empty}
   WHERE scope = $1 AND (state = 1 OR lease_until <= ${now}) RETURNING state`,
];

/** A server of version 0.1 on its database, as far as its statements on records go. */
export class EarlierServer {
  readonly #engine: DatabaseEngine;

  constructor(engine: DatabaseEngine) {
    this.#engine = engine;
  }

  /** The engine of the server, for statements of a test. */
  get engine(): DatabaseEngine {
    return this.#engine;
  }

  /** Creates the tables of version 0.1 in an empty database. @param series whether the version has a table of series */
  async migrate({ series = true } = {}): Promise<void> {
    const [records, expiry, producers] = tables[this.#engine.name];
    const steps = [records, expiry, scopeIndex, ...(series ? [producers, ...producerIndexes] : [])];
    for (const text of [...steps, versions]) await this.#run(text);
    await this.#run(setVersion, steps.length);
  }

  /** Claims a key or a position in a series. Resolves to the row of the claim, or to undefined if it is refused. */
  async claim(request: ClaimRequest): Promise<Row | undefined> {
    const { scope, fingerprint, leaseMs, retentionMs, series } = request;
    const params = [
      shortened(series?.id ?? request.id),
      fingerprint,
      scopeDigest(scope),
      leaseMs,
      retentionMs,
    ];
    const common = [...params, Number.MAX_SAFE_INTEGER, 0];
    const { now } = this.#engine;
    const [row] = series
      ? await this.#run(claimSequence(now), ...common, series.epoch, series.sequence, Buffer.alloc(0))
      : await this.#run(claimKey(now), ...common);
    return row;
  }

  /** Claims and completes. @param stored the reply of a key, or the window of a series */
  async execute(request: ClaimRequest, stored: Buffer): Promise<void> {
    const row = await this.claim(request);
    if (!row) throw new Error('version 0.1 refused the claim');
    await this.complete(request, row, stored);
  }

  /** Completes a claim. Resolves to whether the claim owned the record. */
  async complete({ id, series }: ClaimRequest, claimed: Row, stored: Buffer): Promise<boolean> {
    const text = series ? completeSequence : completeKey;
    const rows = await this.#run(text, shortened(series?.id ?? id), claimed.fence as bigint, stored);
    return rows.length > 0;
  }

  /** Erases the records of a scope. Resolves to their number. */
  async eraseScope(scope: string): Promise<number> {
    const { now, name } = this.#engine;
    let erased = 0;
    for (const text of erasures(now, name === 'sqlite' ? "x''" : "''"))
      erased += (await this.#run(text, scopeDigest(scope), Buffer.alloc(32))).length;
    return erased;
  }

  async #run(text: string, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text, params });
  }
}

/** Opens a server of version 0.1. The database may be of a later version. The server closes after the test. */
export async function openEarlierServer(t: Cleanup, url: string): Promise<EarlierServer> {
  const opened = url.startsWith('sqlite:')
    ? await openSqliteEngine({ path: url.slice('sqlite:'.length) })
    : openPostgresEngine({ connectionString: url, maxConnections: 2 });
  t.teardown(opened.close);
  return new EarlierServer(opened.engine);
}

const shortened = (id: Buffer) => id.subarray(0, 16);

const scopeDigest = (scope: string) => createHash('sha256').update(scope).digest().readBigInt64BE();
