import { type CommitInDoubtError, DatabaseUnavailableError, type LeaseLostError } from './errors.js';

// Errors are recognised by their codes, so errors of another copy of the library are recognised too.

/** The codes of an outage: no statement can succeed, or no statement can commit. */
const outages = new Set([
  'REPLAY_GUARD_DATABASE_UNAVAILABLE',
  'REPLAY_GUARD_DATABASE_READ_ONLY',
  'REPLAY_GUARD_DATABASE_REPLACED',
]);

/**
 * The codes of contention: the database works, and other work held what the statement needs. The last two are codes of
 * Postgres.
 */
const contentions = new Set([
  'REPLAY_GUARD_CONTENTION',
  'REPLAY_GUARD_LOCK_TIMEOUT',
  'REPLAY_GUARD_NO_CONNECTION',
  '40001',
  '40P01',
]);

/** How far a chain of causes is followed. The bound ends a chain that contains itself. */
const MAX_CAUSES = 10;

/** Whether the error is a sign that the database is down, read-only, full or damaged. */
export function isOutage(error: unknown): boolean {
  return (outages.has(codeOf(error)) || error instanceof DatabaseUnavailableError) && !isContention(error);
}

/** Whether the statement lost against other work: a lock, a connection of the pool, or a serialization failure. */
export function isContention(error: unknown): boolean {
  return contentions.has(codeOf(error));
}

/** Whether nothing was committed and a retry may succeed: an outage, or contention. */
export function isUnavailable(error: unknown): error is DatabaseUnavailableError {
  return isOutage(error) || isContention(error);
}

/** Whether the error is a `CommitInDoubtError`. */
export function isCommitInDoubt(error: unknown): error is CommitInDoubtError {
  return codeOf(error) === 'REPLAY_GUARD_COMMIT_IN_DOUBT';
}

/** Whether the error is a `LeaseLostError`. */
export function isLeaseLost(error: unknown): error is LeaseLostError {
  return codeOf(error) === 'REPLAY_GUARD_LEASE_LOST';
}

/** Whether the error is a `DatabaseReadOnlyError`. */
export function isReadOnly(error: unknown): boolean {
  return codeOf(error) === 'REPLAY_GUARD_DATABASE_READ_ONLY';
}

/**
 * Whether the database itself has reported the error, so that a read may still succeed. Errors of the SQLSTATE classes
 * for lost and refused connections do not count.
 */
export function isFromDatabase(error: unknown): boolean {
  if (isReadOnly(error) || codeOf(error) === 'REPLAY_GUARD_DATABASE_REPLACED') return true;
  if (codeOf(error).startsWith('SQLITE_')) return true;
  return error instanceof Error && 'severity' in error && !/^(08|28|3D|53300|57)/.test(codeOf(error));
}

/** Returns the error, or the first of its causes, for which `matches` is true. */
export function findCause(error: unknown, matches: (error: unknown) => boolean): unknown {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    if (matches(current)) return current;
    current = current.cause;
  }
  return undefined;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
