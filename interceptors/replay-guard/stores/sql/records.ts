import type { ClaimRequest } from '../store.js';
import type { SqlValue } from './database.js';
import type { Statement } from './engine.js';

/** The states of a record as they are stored. */
export const IN_PROGRESS = 0n;
export const COMPLETED = 1n;

/** The statements of one engine on the records of idempotency keys. Each addresses one record by its id. */
export interface RecordStatements {
  claim(request: ClaimRequest): Statement;
  find(id: Buffer): Statement;
  lock(id: Buffer, fence: bigint): Statement;
  complete(id: Buffer, fence: bigint, reply: Buffer): Statement;
  release(id: Buffer, fence: bigint): Statement;
}

/**
 * @param now SQL for the database's clock, milliseconds since the epoch
 * @param forUpdate the row lock clause, where the engine has one
 */
export function recordStatements(now: string, forUpdate = ''): RecordStatements {
  // A first fence is the time of its claim, so that a record made anew never repeats an old one's;
  // a takeover raises the fence that it found.
  const claim = `
    INSERT INTO replay_guard_records AS record
      (id, scope, method, fingerprint, state, fence, lease_until, created_at, expires_at)
    VALUES ($1, $2, $3, $4, 0, ${now}, ${now} + $5, ${now}, ${now} + $6)
    ON CONFLICT (id) DO UPDATE SET
      fingerprint = excluded.fingerprint, state = 0,
      fence = CASE WHEN record.expires_at <= ${now} THEN excluded.fence ELSE record.fence + 1 END,
      lease_until = excluded.lease_until, created_at = excluded.created_at, completed_at = NULL,
      expires_at = excluded.expires_at, reply = NULL
    WHERE record.expires_at <= ${now}
      OR (record.state = 0 AND record.lease_until <= ${now} AND record.fingerprint = excluded.fingerprint)
    RETURNING fence, created_at, expires_at`;
  const find = `
    SELECT state, fingerprint, reply, expires_at, ${now} - created_at AS age_ms
    FROM replay_guard_records WHERE id = $1 AND expires_at > ${now}`;
  const owned = 'WHERE id = $1 AND fence = $2 AND state = 0';
  const lock = `SELECT fence FROM replay_guard_records ${owned}${forUpdate}`;
  const complete = `
    UPDATE replay_guard_records SET state = 1, completed_at = ${now}, reply = $3 ${owned} RETURNING fence`;
  const release = `DELETE FROM replay_guard_records ${owned}`;
  const on = (text: string, ...params: SqlValue[]): Statement => ({ text, params });
  return {
    claim: (r) => on(claim, r.id, r.scope, r.method, r.fingerprint, r.leaseMs, r.ttlMs),
    find: (id) => on(find, id),
    lock: (id, fence) => on(lock, id, fence),
    complete: (id, fence, reply) => on(complete, id, fence, reply),
    release: (id, fence) => on(release, id, fence),
  };
}
