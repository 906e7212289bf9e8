import type { Row } from '../database.js';
import {
  ContentionError,
  DatabaseReadOnlyError,
  DatabaseUnavailableError,
  LockTimeoutError,
} from '../errors.js';

/** How a batch of statements has ended. */
export interface BatchEnd {
  /** The rows of each statement that the server has executed. */
  readonly results: Row[][];
  /** The command tag of the statement that was executed last, for example `COMMIT`. */
  readonly command: string;
  /** The error of the first statement that was not executed, or of the connection. Undefined after a success. */
  readonly error: Error | undefined;
  /** Whether the batch was sent. If not, no statement was executed. */
  readonly isSent: boolean;
  /** Whether the batch failed because the server has dropped a prepared statement or its plan is outdated. */
  readonly isOutdated: boolean;
}

/**
 * SQLSTATE classes and codes after which a retry may succeed: connection, resources, operator, rollback, time-outs.
 */
const transient = /^(08|53|57|58|40|25P03|25P04)/;

/** Returns the error of the port for a batch that failed. An error of the statement itself is returned unchanged. */
export function toDatabaseError({ error, isOutdated }: BatchEnd): Error {
  const code = sqlState(error);
  if (code === '55P03') return new LockTimeoutError('another transaction holds the row', { cause: error });
  if (code === '25006') return new DatabaseReadOnlyError('the database accepts reads only', { cause: error });
  if (isConflict(error))
    return new ContentionError('the transaction conflicts with another one', { cause: error });
  if (isParameterError(error)) return error as Error;
  if (isOutdated) {
    const text = 'a prepared statement was outdated, and is prepared again when it is next used';
    return new DatabaseUnavailableError(text, { cause: error });
  }
  if (code === undefined || transient.test(code) || isOutOfTransactionIds(error)) {
    const reason = isRaised(error) ? code : error?.message;
    return new DatabaseUnavailableError(`the database did not answer: ${reason}`, { cause: error });
  }
  return error as Error;
}

/**
 * Returns whether a batch that failed may have been committed.
 * @param commitAt the position of the statement that commits
 */
export function mayBeCommitted({ error, isSent, results }: BatchEnd, commitAt: number): boolean {
  if (!isSent) return false;
  const code = sqlState(error);
  // The answer was lost. A pooler between client and server reports that with a code of class 08.
  if (code === undefined || (code.startsWith('08') && !isParameterError(error))) return true;
  // A pooler reports the loss of its server with the codes of the server. Answers that came before may be lost too.
  if (/^(57P0[123]|58)/.test(code) && mayEndSession(error)) return true;
  // The server names the statement that failed. What stands behind that statement was not executed.
  if (results.length < commitAt) return false;
  // A server that panics because it cannot flush its log may find the commit in the log when it starts again.
  return /^(57P|40003)/.test(code) || (/^(53|XX)/.test(code) && mayEndSession(error));
}

/** Returns whether an error may be fatal or a panic. The server may translate the severity, so any other text counts. */
function mayEndSession(error: Error | undefined): boolean {
  return error !== undefined && 'severity' in error && error.severity !== 'ERROR';
}

/** Returns whether a batch failed without an answer of the server, so that the state of the connection is not known. */
export function isConnectionFailure({ error }: BatchEnd): boolean {
  return error !== undefined && sqlState(error) === undefined && !isParameterError(error);
}

/** Returns whether the parameters of a statement cannot be sent, or are too few or too many. */
function isParameterError(error: Error | undefined): boolean {
  return error instanceof TypeError || error instanceof RangeError || isWrongNumber(error);
}

/** 08P01 can also mean a lost connection. Only Postgres itself names this routine, so a pooler did not send the error. */
function isWrongNumber(error: Error | undefined): boolean {
  return sqlState(error) === '08P01' && routineOf(error) === 'exec_bind_message';
}

/** Returns whether a batch failed because another transaction holds the row that it needs. */
export function isLockTimeout({ error }: BatchEnd): boolean {
  return sqlState(error) === '55P03';
}

/** Returns whether Postgres refused a batch because it would write in a read-only transaction. */
export function isReadOnlyViolation({ error }: BatchEnd): boolean {
  return sqlState(error) === '25006';
}

/** Returns whether a statement of a batch has divided by zero. */
export function isDivisionByZero({ error }: BatchEnd): boolean {
  return sqlState(error) === '22012';
}

/**
 * Returns whether Postgres refuses every write, because it has no transaction ids left. Errors of statements have the same
 * SQLSTATE.
 */
function isOutOfTransactionIds(error: unknown): boolean {
  return sqlState(error) === '54000' && /^GetNew(Transaction|MultiXact)Id/.test(routineOf(error));
}

/** Returns whether a function of the application has raised the error. Its message may quote a row, with any SQLSTATE. */
function isRaised(error: unknown): boolean {
  return routineOf(error) === 'exec_stmt_raise';
}

function routineOf(error: unknown): string {
  return error instanceof Error && 'routine' in error ? String(error.routine) : '';
}

/** Returns whether a batch failed because of a deadlock or a serialization failure. The database rolled it back. */
export function isContention({ error }: BatchEnd): boolean {
  return isConflict(error);
}

function isConflict(error: unknown): boolean {
  const code = sqlState(error);
  return code === '40001' || code === '40P01';
}

/**
 * Returns whether the plan of a prepared statement is outdated because the schema has changed. A function of the
 * application may raise the same code. The text of the message depends on the language of the server. The name of its source routine does not.
 */
export function isOutdatedPlan(error: unknown): boolean {
  if (sqlState(error) !== '0A000') return false;
  return routineOf(error) === 'RevalidateCachedQuery' || /cached plan/.test(String(error));
}

/** Returns whether the server does not know a prepared statement, for example after DISCARD ALL. */
export function isUnknownStatement(error: unknown): boolean {
  return sqlState(error) === '26000';
}

/** Returns whether a notice says that a COMMIT has ended its wait for the synchronous standby before the standby answered. */
export function endsReplicationWait(notice: { readonly routine: string | undefined }): boolean {
  // The text of the message depends on the language of the server. The name of its source routine does not.
  return notice.routine === 'SyncRepWaitForLSN';
}

/** The SQLSTATE that the server sent. Undefined for an error of the connection. */
function sqlState(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[0-9A-Z]{5}$/.test(code) && 'severity' in (error as Error) ? code : undefined;
}
