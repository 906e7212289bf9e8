import type { Row } from '../database.js';
import type { Statement } from '../engine.js';

/** The time-outs of a transaction, in milliseconds. 0 means no time-out. */
export interface TransactionLimits {
  /** How long a statement may run. */
  readonly statementMs: number;
  /** How long a statement waits for a row that another transaction has locked. */
  readonly lockMs: number;
  /** How long the transaction may wait for its next statement. */
  readonly idleMs: number;
}

/** How a transaction gets the settings that it needs of its session. */
export interface SessionSettings {
  /**
   * Sets the settings until the end of the transaction. The column `differs` of its row tells whether the next
   * transaction of the connection must set them again.
   */
  readonly set: Statement;
  /** Sets the lock timeout of a transaction that had a shorter one. */
  readonly restoreLockWait: Statement;
}

/**
 * The settings that the library needs in every session. The role or the database may have set other values. The
 * application that shares the connection keeps its own values.
 *
 * - `client_min_messages`: a warning says that a COMMIT has not waited for its synchronous standby.
 * - `extra_float_digits`: a floating-point number is sent with all its digits.
 */
const needed = `
  set_config('client_min_messages', 'notice', true), set_config('extra_float_digits', '3', true)`;

/**
 * The settings on a connection that belongs to one session of Postgres. The pool has set its time-outs when it opened
 * the connection. Other settings are set if the session itself has other values, which the row tells.
 */
export const ownSession: SessionSettings = {
  set: {
    text: `
    SELECT differs, ${needed}
    FROM (
      SELECT current_setting('client_min_messages') IN ('error', 'fatal', 'panic')
        OR CAST(current_setting('extra_float_digits') AS INTEGER) < 1 AS differs
      OFFSET 0
    ) AS session`,
    params: [],
  },
  restoreLockWait: { text: 'SET LOCAL lock_timeout TO DEFAULT', params: [] },
};

/**
 * Another application may have turned this off in the session for its own commits. The transaction then has the value of the
 * server, the database or the role again.
 */
const durable = `CASE current_setting('synchronous_commit')
      WHEN 'off' THEN set_config('synchronous_commit', NULL, true) END`;

/**
 * Returns the settings on a connection through a pooler that gives each transaction another session. Each transaction sets
 * all of them, and its time-outs.
 */
export function sharedSession({ statementMs, lockMs, idleMs }: TransactionLimits): SessionSettings {
  return {
    set: {
      text: `
    SELECT true AS differs, ${needed}, set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
      set_config('idle_in_transaction_session_timeout', $3, true), ${durable}`,
      params: [String(statementMs), String(lockMs), String(idleMs)],
    },
    restoreLockWait: { text: "SELECT set_config('lock_timeout', $1, true)", params: [String(lockMs)] },
  };
}

/** Returns whether the next transaction of the connection must set the settings. */
export function differs([row]: readonly Row[]): boolean {
  return (row?.differs as unknown) === true;
}
