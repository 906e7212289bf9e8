/**
 * SQL that is 1 if commits of this session wait for a synchronous standby, else 0. The administrator can change the
 * setting at any time, so the look-up of a record reads it. A server that is a standby itself has no commits.
 */
export const waitsForStandby = `CASE WHEN current_setting('synchronous_standby_names', true) <> ''
  AND current_setting('synchronous_commit') NOT IN ('local', 'off') AND NOT pg_is_in_recovery() THEN 1 ELSE 0 END`;

/** SQL that writes to the log of the database and changes no data. */
export const emitMessage = "pg_logical_emit_message(true, 'replay_guard', '')";

/**
 * A statement that makes its transaction wait for the synchronous standby at COMMIT, if commits wait for one. The log is
 * replicated in order, so then the standby has each commit that was visible to the statement.
 */
export const waitAtCommit = `SELECT CASE ${waitsForStandby} WHEN 1 THEN ${emitMessage} END AS position`;
