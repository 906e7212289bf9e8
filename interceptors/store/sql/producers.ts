import type { Dialect, Row, SqlValue } from '../../database/database.js';
import { grantSequence } from '../producer/sequence-claim.js';
import { decideSequence, isFinal, type SequenceRequest, seriesAddress } from '../producer/sequence-rules.js';
import type { FoundProducer } from '../store.js';
import { atAddress } from './address.js';
import {
  claimedUntil,
  claimTime,
  commonParams,
  type FirstSentSql,
  firstSentParams,
  firstSentSql,
  later,
  leaseHasRunOut,
  mayBeTakenOver,
  nextFence,
  rowToInsertIfValid,
  valuesToInsert,
} from './claim-sql.js';
import type { ClaimRules } from './claiming.js';
import type { RecordTable } from './maintenance.js';
import {
  type RecordSql,
  type RecordStatements,
  retentionNow,
  STARTED,
  statementsOn,
  storedExpiry,
  storedFingerprint,
  TAKEN_OVER,
} from './statements.js';

const TABLE = 'replay_guard_producers';
const EMPTY_WINDOW = Buffer.alloc(0);

/** The casts are explicit, because Postgres would infer smaller integers beside a literal. */
const epoch = 'CAST($6 AS BIGINT)';
const sequence = 'CAST($7 AS BIGINT)';

/** SQL for whether the claim continues the epoch of the record, so that the window of the record is kept. */
const isSameEpoch = (retentionNow: string) =>
  `record.expires_at > ${retentionNow} AND record.epoch = excluded.epoch`;

/** The row of a new record. `$8` is an empty window. */
const newRecord = (now: string, expiry: string) =>
  `$1, $2, $3, ${STARTED}, ${now}, ${now} + $4, ${expiry}, (${expiry}) / 60000, ${epoch}, ${sequence}, -1, $8`;

/**
 * The statement that claims an initial sequence, 0 or 1. In one atomic step it inserts the record of the series, begins
 * a new epoch, or claims the position in the epoch of the record. It returns a row with the stored window if the claim
 * is granted. `decideSequence` applies the same rules.
 * @param source SQL for the row to insert
 * @param retentionNow SQL for the retention time inside `DO UPDATE`
 */
const claimInitialSql = (source: string, retentionNow: string) => `
  INSERT INTO ${TABLE} AS record (scope, id, fingerprint, state, fence, lease_until, expires_at,
    expires_minute, epoch, sequence, completed, replies)
  ${source}
  ON CONFLICT (scope, id) DO UPDATE SET
    fingerprint = excluded.fingerprint,
    state = CASE WHEN ${isSameEpoch(retentionNow)} AND record.state <= 0 THEN ${TAKEN_OVER} ELSE ${STARTED} END,
    fence = ${nextFence}, lease_until = excluded.lease_until,
    expires_at = ${later('expires_at')}, expires_minute = ${later('expires_minute')},
    epoch = excluded.epoch, sequence = excluded.sequence,
    completed = CASE WHEN ${isSameEpoch(retentionNow)} THEN record.completed ELSE -1 END,
    replies = CASE WHEN ${isSameEpoch(retentionNow)} THEN record.replies ELSE excluded.replies END
  WHERE CASE WHEN record.expires_at <= ${retentionNow} THEN TRUE
    WHEN record.epoch < excluded.epoch THEN record.state > 0 OR ${leaseHasRunOut(claimTime, claimedUntil)}
    WHEN record.epoch > excluded.epoch THEN FALSE
    WHEN record.state > 0 THEN record.completed = excluded.sequence - 1 OR record.completed = -1
    ELSE record.sequence = excluded.sequence
      AND ${mayBeTakenOver(claimTime, claimedUntil, 'excluded.fingerprint')} END
  RETURNING state AS claimed, fence, expires_at, replies`;

/**
 * The statement that claims a later sequence. It changes an existing record only: a later sequence never starts a
 * series. It returns a row with the stored window if the claim is granted. The clock is read in a subquery, because a
 * distributed Postgres allows no clock inside CASE.
 * @param now SQL for the time
 * @param retentionNow SQL for the retention time
 */
const claimLaterSql = (now: string, retentionNow: string, { isValid, expiry }: FirstSentSql) => `
  UPDATE ${TABLE} AS record SET
    fingerprint = $3, sequence = ${sequence},
    state = CASE WHEN record.state <= 0 THEN ${TAKEN_OVER} ELSE ${STARTED} END,
    fence = CASE WHEN record.fence >= now THEN record.fence + 1 ELSE now END,
    lease_until = now + $4,
    expires_at = CASE WHEN record.expires_at > ${expiry} THEN record.expires_at ELSE ${expiry} END,
    expires_minute = CASE WHEN record.expires_at > ${expiry} THEN record.expires_minute ELSE (${expiry}) / 60000 END
  FROM (SELECT ${now} AS now) AS clock
  WHERE ${atAddress} AND ${isValid} AND record.expires_at > ${retentionNow} AND record.epoch = ${epoch}
    AND CASE WHEN record.state > 0 THEN record.completed = ${sequence} - 1
      ELSE record.sequence = ${sequence} AND ${mayBeTakenOver('now', 'now + $4', '$3')} END
  RETURNING state AS claimed, fence, expires_at, replies`;

/** The statements on the records of series. */
export function producerStatements(sql: RecordSql): RecordStatements {
  const { time, retention } = sql;
  const times = [...time.params, ...retention.params];
  const claimInitial = claimInitialSql(valuesToInsert(newRecord, time.sql(9)), retention.sql(claimTime, 10));
  const claimInitialIfValid = claimInitialSql(
    rowToInsertIfValid(newRecord, time.sql(11), 9),
    retention.sql(claimTime, 12),
  );
  const claimLater = claimLaterSql(time.sql(10), retention.sql('now', 11), firstSentSql('now', 8));
  const texts = {
    table: TABLE,
    columns: 'fingerprint, replies, epoch, sequence, completed',
    completed: 'state = 1, completed = sequence, replies = $4',
    // `completed` is not changed, so the released sequence is again the next sequence.
    release: `UPDATE ${TABLE} SET state = 1`,
  };
  return {
    ...statementsOn(texts, sql),
    claim: (address, request) => {
      const { epoch: ofEpoch = 0n, sequence: position = 0n } = request.series ?? {};
      const common: SqlValue[] = [...commonParams(address, request), ofEpoch, position];
      const bounds = firstSentParams(request);
      if (position > 1n) return { text: claimLater, params: [...common, ...bounds, ...times] };
      return request.firstSent
        ? { text: claimInitialIfValid, params: [...common, EMPTY_WINDOW, ...bounds, ...times] }
        : { text: claimInitial, params: [...common, EMPTY_WINDOW, ...times] };
    },
  };
}

/**
 * Returns the maintenance SQL for the table of series. An erasure keeps the last completed sequence. An execution
 * whose lease has run out keeps its state and its fingerprint, so that another execution can take it over. The higher
 * fence prevents its completion. A record with a valid lease is not erased, because its execution would write the
 * erased replies again.
 * @param emptyBytes the SQL literal for an empty binary value
 */
export function producerTable({ now, retentionNow }: Dialect, emptyBytes: string): RecordTable {
  return {
    name: TABLE,
    expired: `expires_minute <= ${retentionNow} / 60000 AND expires_at <= ${retentionNow}`,
    expiryOrder: 'expires_minute',
    erasable: `(state = 1 OR (state <= 0 AND lease_until <= ${now} AND length(replies) > 0))`,
    erased: `state = CASE WHEN state = 1 THEN 2 WHEN state = 0 THEN ${STARTED} ELSE state END, fence = fence + 1,
      fingerprint = CASE WHEN state = 1 THEN $3 ELSE fingerprint END, replies = ${emptyBytes}`,
  };
}

/** Returns the record in the row of a `find`, or undefined if no record is retained. */
export function foundProducer(row: Row): FoundProducer | undefined {
  if (row.state === null) return undefined;
  const found = {
    epoch: row.epoch as bigint,
    completed: row.completed as bigint,
    replies: row.replies as Buffer,
    expiresAtMs: storedExpiry(row),
  };
  if (Number(row.state) > 0) return found;
  const [now, sequence] = [Number(row.now), row.sequence as bigint];
  const [ageMs, leaseLeftMs] = [now - Number(row.fence), Number(row.lease_until) - now];
  return { ...found, running: { sequence, fingerprint: storedFingerprint(row), ageMs, leaseLeftMs } };
}

/** The rules for claims of positions in a series. */
export const producerRules = (statements: RecordStatements): ClaimRules<SequenceRequest> => ({
  statements,
  addressOf: seriesAddress,
  decide: (request, row) => {
    const decision = decideSequence(request, foundProducer(row), Number(row.now), retentionNow(row));
    return decision.outcome === 'claimable' ? undefined : decision;
  },
  isFinal,
  grant: (request, claim) => grantSequence(claim, request, claim.row.replies as Buffer),
});
