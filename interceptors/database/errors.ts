import { CodedError } from '../context/coded-error.js';

/**
 * The database cannot be reached, or refuses work at present. Nothing was committed, so the caller may retry. The
 * subclasses name a cause.
 */
export class DatabaseUnavailableError extends CodedError {
  override name = 'DatabaseUnavailableError';
  static override readonly code: string = 'REPLAY_GUARD_DATABASE_UNAVAILABLE';
}

/**
 * The transaction conflicts with another one: a deadlock, a serialization failure, or a lock that was not granted in time.
 * The database works, and nothing was committed.
 */
export class ContentionError extends DatabaseUnavailableError {
  override name = 'ContentionError';
  static override readonly code: string = 'REPLAY_GUARD_CONTENTION';
}

/** A lock was not granted in time, because another transaction or process holds it. Nothing was committed. */
export class LockTimeoutError extends ContentionError {
  override name = 'LockTimeoutError';
  static override readonly code: string = 'REPLAY_GUARD_LOCK_TIMEOUT';
}

/**
 * The pool of this process had no free connection in time. The database works: other transactions of this process hold
 * every connection. Nothing was committed.
 */
export class NoConnectionError extends DatabaseUnavailableError {
  override name = 'NoConnectionError';
  static override readonly code: string = 'REPLAY_GUARD_NO_CONNECTION';
}

/** The database accepts reads only, for example after a failover. Nothing was committed. */
export class DatabaseReadOnlyError extends DatabaseUnavailableError {
  override name = 'DatabaseReadOnlyError';
  static override readonly code: string = 'REPLAY_GUARD_DATABASE_READ_ONLY';
}

/**
 * The file of a SQLite database, or its write-ahead log, was deleted or replaced while it was open. A commit would be
 * lost, so nothing was committed. The file must be put back, or the process must open the database again.
 */
export class DatabaseReplacedError extends DatabaseUnavailableError {
  override name = 'DatabaseReplacedError';
  static override readonly code: string = 'REPLAY_GUARD_DATABASE_REPLACED';
}

/** A COMMIT was sent and its answer was lost. The transaction may or may not be committed. */
export class CommitInDoubtError extends CodedError {
  override name = 'CommitInDoubtError';
  static override readonly code: string = 'REPLAY_GUARD_COMMIT_IN_DOUBT';
}

/**
 * The execution lost its lease before its commit, and its writes were rolled back. Causes: another execution took the
 * key over, the lease was not renewed in time, or the store ended the unit of work.
 */
export class LeaseLostError extends CodedError {
  override name = 'LeaseLostError';
  static override readonly code: string = 'REPLAY_GUARD_LEASE_LOST';
}

/** A unit of work cannot continue, because it has ended, exceeded its time limit, or had a failed statement. */
export class UnitOfWorkError extends CodedError {
  override name = 'UnitOfWorkError';
  static override readonly code: string = 'REPLAY_GUARD_UNIT_OF_WORK';
}

/**
 * The schema of the database does not fit the program: steps are missing and this program may not apply them, or a step
 * was changed after the database had applied it. The message names the component, the step and what to do.
 */
export class SchemaError extends CodedError {
  override name = 'SchemaError';
  static override readonly code: string = 'REPLAY_GUARD_SCHEMA';
}

/**
 * The database is behind a pooler that gives each transaction another session of Postgres, and the option `pooler` of
 * `openPostgres` is not set. Prepared statements and time-outs would be lost between transactions. Set the option
 * `pooler`. The cause says what was found.
 */
export class PoolerError extends CodedError {
  override name = 'PoolerError';
  static override readonly code: string = 'REPLAY_GUARD_POOLER';
}
