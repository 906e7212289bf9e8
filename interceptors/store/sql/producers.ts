import type { Row, SqlValue } from '../../database/database.js';
import { grantSequence } from '../producer/sequence-claim.js';
import { decideSequence, isFinal, type SequenceRequest } from '../producer/sequence-rules.js';
import type { ClaimRequest, FoundProducer } from '../store.js';
import { firstSentIsValid, later, mayBeTakenOver, nextFence, retainedUntil } from './claim-sql.js';
import { type ClaimRules, hiddenExecution } from './claiming.js';
import type { RecordTable } from './maintenance.js';
import { type RecordStatements, statementsOn } from './statements.js';

const TABLE = 'replay_guard_producers';
const EMPTY_WINDOW = Buffer.alloc(0);

/** The casts are explicit, because Postgres would infer smaller integers beside a literal. */
const epoch = 'CAST($8 AS BIGINT)';
const sequence = 'CAST($9 AS BIGINT)';
const isInitial = `${sequence} <= 1`;
const isNext = (record: string) =>
  `(${record}.completed = ${sequence} - 1 OR (${record}.completed = -1 AND ${isInitial}))`;

/** SQL for whether the position may be claimed on an existing record. `decideSequence` applies the same rules. */
const isClaimable = (now: string, record: string) => `
  CASE WHEN ${record}.expires_at <= ${now} THEN ${isInitial}
    WHEN ${record}.epoch < ${epoch} THEN ${isInitial} AND (${record}.state > 0 OR ${record}.lease_until <= ${now})
    WHEN ${record}.epoch > ${epoch} THEN FALSE
    WHEN ${record}.state > 0 THEN ${isNext(record)}
    ELSE ${record}.sequence = ${sequence} AND ${mayBeTakenOver(now, record)} END`;

/** SQL for whether the claim continues the epoch of the record, so that the window of the record is kept. */
const isSameEpoch = (now: string) => `record.expires_at > ${now} AND record.epoch = excluded.epoch`;

/**
 * The statement that claims a position in a series. In one atomic step it inserts the record for an initial sequence,
 * or advances an existing record. It returns a row with the stored window if the claim is granted. A later sequence
 * is claimed only on an existing record, which is locked first if the engine has row locks.
 * @param now SQL for the database's clock
 * @param skipLocked the clause that locks a row unless the row is already locked, or an empty text
 */
export const claimSequenceSql = (now: string, skipLocked = '') => `
  INSERT INTO ${TABLE} AS record (id, fingerprint, scope, state, fence, lease_until, expires_at,
    expires_minute, epoch, sequence, completed, replies)
  SELECT $1, $2, $3, 0, ${now}, ${now} + $4, ${retainedUntil(now)}, (${retainedUntil(now)}) / 60000, ${epoch}, ${sequence}, -1, $10
  WHERE ${firstSentIsValid(now)} AND (
    (${isInitial} AND NOT EXISTS (SELECT 1 FROM ${TABLE} WHERE id = $1))
    OR EXISTS (
      SELECT 1 FROM ${TABLE} AS held WHERE id = $1 AND ${isClaimable(now, 'held')}${skipLocked}))
  ON CONFLICT (id) DO UPDATE SET
    fingerprint = excluded.fingerprint, scope = excluded.scope,
    state = CASE WHEN ${isSameEpoch(now)} AND record.state <= 0 THEN -1 ELSE 0 END,
    fence = ${nextFence(now)}, lease_until = excluded.lease_until,
    expires_at = ${later('expires_at')}, expires_minute = ${later('expires_minute')},
    epoch = excluded.epoch, sequence = excluded.sequence,
    completed = CASE WHEN ${isSameEpoch(now)} THEN record.completed ELSE -1 END,
    replies = CASE WHEN ${isSameEpoch(now)} THEN record.replies ELSE excluded.replies END
  WHERE ${isClaimable(now, 'record')}
  RETURNING state AS claimed, fence, expires_at, replies`;

/**
 * The statements on the records of series.
 * @param claim the statement that claims, based on `claimSequenceSql`
 * @param forUpdate the row lock clause, or an empty text if the engine has no row locks
 */
export function producerStatements(now: string, claim: string, forUpdate = ''): RecordStatements {
  const texts = {
    table: TABLE,
    claim,
    columns: 'fingerprint, replies, epoch, sequence, completed',
    completed: 'state = 1, completed = sequence, replies = $3',
    // `completed` is not changed, so the released sequence is again the next sequence.
    release: `UPDATE ${TABLE} SET state = 1`,
    claimParams,
  };
  return statementsOn(texts, now, forUpdate);
}

function claimParams({ series }: ClaimRequest): SqlValue[] {
  return series ? [series.epoch, series.sequence, EMPTY_WINDOW] : [];
}

/**
 * Returns the maintenance SQL for the table of series. An erasure keeps the last completed sequence. An execution
 * whose lease has run out keeps its fingerprint, so that another execution can take it over. The higher fence
 * prevents its completion. A record with a valid lease is not erased, because its execution would write the erased
 * replies again.
 * @param emptyBytes the SQL literal for an empty binary value
 */
export function producerTable(now: string, emptyBytes: string): RecordTable {
  return {
    name: TABLE,
    expired: `expires_minute <= ${now} / 60000 AND expires_at <= ${now}`,
    expiryOrder: 'expires_minute',
    erasable: `(state = 1 OR lease_until <= ${now})`,
    erased: `scope = 0, fence = fence + 1, fingerprint = CASE WHEN state = 1 THEN $3 ELSE fingerprint END,
      replies = ${emptyBytes}`,
  };
}

/** Returns the record in the row of a `find`, or undefined if no record is retained. */
export function foundProducer(row: Row): FoundProducer | undefined {
  if (row.state === null) return undefined;
  const found = {
    epoch: row.epoch as bigint,
    completed: row.completed as bigint,
    replies: row.replies as Buffer,
    expiresAtMs: Number(row.expires_at),
  };
  if (Number(row.state) > 0) return found;
  const [now, sequence] = [Number(row.now), row.sequence as bigint];
  const [ageMs, leaseLeftMs] = [now - Number(row.fence), Number(row.lease_until) - now];
  return { ...found, running: { sequence, fingerprint: row.fingerprint as Buffer, ageMs, leaseLeftMs } };
}

/** The rules for claims of positions in a series. */
export const producerRules = (statements: RecordStatements): ClaimRules<SequenceRequest> => ({
  statements,
  recordId: ({ series }) => series.id,
  decide: (request, row) => {
    if (row.hidden === 1n) return hiddenExecution(request);
    const decision = decideSequence(request, foundProducer(row), Number(row.now));
    return decision.outcome === 'claimable' ? undefined : decision;
  },
  isFinal,
  grant: (request, claim) => grantSequence(claim, request, claim.row.replies as Buffer),
});
