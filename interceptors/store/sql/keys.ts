import type { Row } from '../../database/database.js';
import { mayStart } from '../first-sent.js';
import { hasRunOut } from '../lease.js';
import type { ClaimRequest, FoundRecord, NotClaimed } from '../store.js';
import {
  claimedUntil,
  claimTime,
  commonParams,
  firstSentParams,
  later,
  mayBeTakenOver,
  nextFence,
  rowToInsertIfValid,
  valuesToInsert,
} from './claim-sql.js';
import type { ClaimRules } from './claiming.js';
import type { RecordTable } from './maintenance.js';
import {
  COMPLETED,
  ERASED,
  type RecordSql,
  type RecordStatements,
  retentionNow,
  STARTED,
  statementsOn,
  storedExpiry,
  storedFingerprint,
  TAKEN_OVER,
} from './statements.js';

const TABLE = 'replay_guard_records';

/** The row of a new record. */
const newRecord = (now: string, expiry: string) => `$1, $2, $3, ${STARTED}, ${now}, ${now} + $4, ${expiry}`;

/**
 * The statement that claims a key. In one atomic step it inserts the record, or takes over a record that has expired
 * or whose lease has run out. It returns a row if the claim is granted.
 * @param source SQL for the row to insert
 * @param retentionNow SQL for the retention time inside `DO UPDATE`
 */
const claimSql = (source: string, retentionNow: string) => `
  INSERT INTO ${TABLE} AS record (scope, id, fingerprint, state, fence, lease_until, expires_at)
  ${source}
  ON CONFLICT (scope, id) DO UPDATE SET
    fingerprint = excluded.fingerprint,
    state = CASE WHEN record.expires_at <= ${retentionNow} THEN ${STARTED} ELSE ${TAKEN_OVER} END,
    fence = ${nextFence},
    lease_until = excluded.lease_until, expires_at = ${later('expires_at')}, reply = NULL
  WHERE record.expires_at <= ${retentionNow} OR (${mayBeTakenOver(claimTime, claimedUntil, 'excluded.fingerprint')})
  RETURNING state AS claimed, fence, expires_at`;

/** The statements on the records of keys. */
export function keyStatements(sql: RecordSql): RecordStatements {
  const { time, retention } = sql;
  const times = [...time.params, ...retention.params];
  const claim = claimSql(valuesToInsert(newRecord, time.sql(6)), retention.sql(claimTime, 7));
  const claimIfValid = claimSql(rowToInsertIfValid(newRecord, time.sql(8), 6), retention.sql(claimTime, 9));
  const texts = {
    table: TABLE,
    columns: 'fingerprint, reply',
    completed: 'state = 1, fence = NULL, lease_until = NULL, reply = $4',
    release: `DELETE FROM ${TABLE}`,
  };
  return {
    ...statementsOn(texts, sql),
    claim: (address, request) => {
      const common = commonParams(address, request);
      return request.firstSent
        ? { text: claimIfValid, params: [...common, ...firstSentParams(request), ...times] }
        : { text: claim, params: [...common, ...times] };
    },
  };
}

/**
 * Returns the maintenance SQL for the table of keys. The SQL for the expiry is a parameter, because the expiry index
 * differs between the engines.
 */
export function keyTable(expiry: Pick<RecordTable, 'expired' | 'expiryOrder'>): RecordTable {
  return {
    name: TABLE,
    ...expiry,
    erasable: 'state = 1',
    erased: 'state = 2, fingerprint = $3, reply = NULL',
  };
}

/** Returns the record in the row of a `find`, or undefined if no record is retained. */
export function foundRecord(row: Row): FoundRecord | undefined {
  if (row.state === null) return undefined;
  const expiresAtMs = storedExpiry(row);
  if (row.state === ERASED) return { outcome: 'erased', expiresAtMs };
  const fingerprint = storedFingerprint(row);
  if (row.state === COMPLETED) {
    return { outcome: 'completed', fingerprint, reply: row.reply as Buffer, expiresAtMs };
  }
  const now = Number(row.now);
  const [ageMs, leaseLeftMs] = [now - Number(row.fence), Number(row.lease_until) - now];
  return { outcome: 'in-progress', fingerprint, ageMs, leaseLeftMs };
}

function decide(request: ClaimRequest, row: Row): NotClaimed | undefined {
  const found = foundRecord(row);
  if (!found)
    return mayStart(request, Number(row.now), retentionNow(row)) ? undefined : { outcome: 'expired' };
  const isOrphaned = found.outcome === 'in-progress' && hasRunOut(found, request.leaseMs);
  return isOrphaned ? { ...found, leaseLeftMs: Math.min(found.leaseLeftMs, 0) } : found;
}

/** The rules for claims of keys. */
export const keyRules = (statements: RecordStatements): ClaimRules<ClaimRequest> => ({
  statements,
  addressOf: (request) => request,
  decide,
  isFinal: (result) => !(result.outcome === 'in-progress' && result.leaseLeftMs <= 0),
  grant: (_request, claim) => ({ outcome: 'claimed', claim }),
});
