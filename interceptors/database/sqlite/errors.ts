import { DatabaseUnavailableError, LockTimeoutError } from '../errors.js';

const unavailable = /^SQLITE_(FULL|IOERR|CANTOPEN|NOMEM|READONLY)/;

/** SQLite's error in the terms that all engines share; an error of the statement itself stays as it is. */
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

/** Whether a COMMIT that failed so may have reached the disk all the same. */
export function leavesCommitInDoubt(error: unknown): boolean {
  return error instanceof Error && sqliteCode(error.cause).startsWith('SQLITE_IOERR');
}

/** Whether what was written breaks a rule of the schema, a deferred foreign key for instance. */
export function isConstraint(error: unknown): boolean {
  return sqliteCode(error).startsWith('SQLITE_CONSTRAINT');
}

function sqliteCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
