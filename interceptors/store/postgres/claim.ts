import { claimText, orphaned } from '../sql/claim-sql.js';

/**
 * Claims a key or finds its record, in one statement. A record that is visible and not to be had costs no write
 * and no lock; one that can be had is not waited for while somebody else has it locked. Whether it is granted is
 * decided by the claim alone, on the row as it is then; the record found may be older than that.
 */
export const claimOrFind = (now: string) => `
  WITH clock AS (SELECT ${now} AS now),
  found AS (SELECT * FROM replay_guard_records WHERE id = $1 AND expires_at > ${now}),
  claimed AS (${claimText(now, free(now))})
  SELECT claimed.claimed, found.state, found.fingerprint, found.reply, found.lease_until, now,
    coalesce(claimed.fence, found.fence) AS fence,
    coalesce(claimed.expires_at, found.expires_at) AS expires_at
  FROM clock LEFT JOIN claimed ON TRUE LEFT JOIN found ON claimed.claimed IS NULL`;

const free = (now: string) => `
  NOT EXISTS (SELECT 1 FROM replay_guard_records WHERE id = $1)
  OR EXISTS (
    SELECT 1 FROM replay_guard_records AS held WHERE id = $1 AND (expires_at <= ${now} OR (${orphaned(now, 'held')}))
    FOR UPDATE SKIP LOCKED)`;
