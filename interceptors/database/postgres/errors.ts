import { DatabaseUnavailableError, LockTimeoutError } from '../errors.js';

/** Worth a retry: connection, resources, operator, rolled back by the server, time-outs. */
const transient = /^(08|53|57|58|40|25P03|25P04)/;

/** Postgres' error in the terms that all engines share; an error of the statement itself stays as it is. */
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

/** Whether the statement that failed so may have been committed all the same: its answer never came. */
export function leavesCommitInDoubt(error: unknown): boolean {
  const code = sqlState(error);
  return code === undefined || /^(08|57P|40003)/.test(code);
}

/** Whether a statement was refused because it would write in a transaction that only reads. */
export function isReadOnlyViolation(error: unknown): boolean {
  return sqlState(error) === '25006';
}

/** The five characters the server sent; absent where the error is the connection's. */
function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[0-9A-Z]{5}$/.test(code) && 'severity' in (error as Error) ? code : undefined;
}
