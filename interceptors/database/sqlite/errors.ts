import {
  DatabaseReadOnlyError,
  DatabaseReplacedError,
  DatabaseUnavailableError,
  LockTimeoutError,
} from '../errors.js';

/** The codes of errors that concern the file itself: its disk, its rights or its content. */
const unavailable = /^SQLITE_(FULL|IOERR|CANTOPEN|NOMEM|CORRUPT|NOTADB|PERM|PROTOCOL)/;

/** Converts an error of SQLite to an error of the port. An error of the statement itself is returned unchanged. */
export function toDatabaseError(error: unknown): Error {
  if (isIterating(error))
    return new LockTimeoutError('the application iterates over rows on the connection', { cause: error });
  const code = sqliteCode(error);
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return new LockTimeoutError('another process holds the database', { cause: error });
  }
  if (code === 'SQLITE_READONLY_DBMOVED')
    return new DatabaseReplacedError('the database file was moved', { cause: error });
  if (code.startsWith('SQLITE_READONLY'))
    return new DatabaseReadOnlyError(`the database accepts reads only: ${textOf(error)}`, { cause: error });
  if (unavailable.test(code)) {
    return new DatabaseUnavailableError(`the database cannot be used: ${textOf(error)}`, { cause: error });
  }
  return error as Error;
}

/** Whether better-sqlite3 has refused a statement, because rows are being read one by one. The error has no code. */
function isIterating(error: unknown): boolean {
  return error instanceof TypeError && error.message.includes('busy executing a query');
}

/** Whether a COMMIT that failed with this error may have reached the disk. */
export function leavesCommitInDoubt(error: unknown): boolean {
  return error instanceof Error && sqliteCode(error.cause).startsWith('SQLITE_IOERR');
}

/** Whether a constraint of the schema was violated, for example a deferred foreign key. */
export function isConstraintViolation(error: unknown): boolean {
  return sqliteCode(error).startsWith('SQLITE_CONSTRAINT');
}

/** The code and the text of an error of SQLite. The text contains no path. */
function textOf(error: unknown): string {
  return `${sqliteCode(error)}: ${(error as Error).message}`;
}

function sqliteCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
