import { DatabaseUnavailableError, LockTimeoutError } from '../errors.js';

/**
 * SQLSTATE classes and codes after which a retry may succeed: connection, resources, operator, rollback, time-outs.
 */
const transient = /^(08|53|57|58|40|25P03|25P04)/;

/** Converts an error of Postgres to an error of the port. An error of the statement itself is returned unchanged. */
export function toDatabaseError(error: unknown): Error {
  const code = sqlState(error);
  if (code === '55P03') return new LockTimeoutError('another transaction holds the row', { cause: error });
  if (code === undefined || transient.test(code)) {
    return new DatabaseUnavailableError(`the database did not answer: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return error as Error;
}

/** Whether a statement that failed with this error may have been committed, because its answer was lost. */
export function leavesCommitInDoubt(error: unknown): boolean {
  const code = sqlState(error);
  return code === undefined || /^(08|57P|40003)/.test(code);
}

/** Whether Postgres refused a statement because it would write in a read-only transaction. */
export function isReadOnlyViolation(error: unknown): boolean {
  return sqlState(error) === '25006';
}

/** The SQLSTATE that the server sent. Undefined for an error of the connection. */
function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[0-9A-Z]{5}$/.test(code) && 'severity' in (error as Error) ? code : undefined;
}
