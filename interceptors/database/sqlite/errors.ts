import { DatabaseUnavailableError, LockTimeoutError } from '../errors.js';

const unavailable = /^SQLITE_(FULL|IOERR|CANTOPEN|NOMEM|READONLY)/;

/** Converts an error of SQLite to an error of the port. An error of the statement itself is returned unchanged. */
export function toDatabaseError(error: unknown): Error {
  const code = sqliteCode(error);
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new LockTimeoutError('another process holds the database', { cause: error });
  }
  if (unavailable.test(code)) {
    return new DatabaseUnavailableError(`the database cannot be used: ${code}`, { cause: error });
  }
  return error as Error;
}

/** Whether a COMMIT that failed with this error may have reached the disk. */
export function leavesCommitInDoubt(error: unknown): boolean {
  return error instanceof Error && sqliteCode(error.cause).startsWith('SQLITE_IOERR');
}

/** Whether a constraint of the schema was violated, for example a deferred foreign key. */
export function isConstraintViolation(error: unknown): boolean {
  return sqliteCode(error).startsWith('SQLITE_CONSTRAINT');
}

function sqliteCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
