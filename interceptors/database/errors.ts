/** The database cannot be reached, or refuses work for now. Nothing was committed: the caller may try again. */
export class DatabaseUnavailableError extends Error {
  override name = 'DatabaseUnavailableError';
  readonly code: string = 'REPLAY_GUARD_DATABASE_UNAVAILABLE';
}

/** A row lock was not granted in time, because another transaction holds it. Nothing was committed. */
export class LockTimeoutError extends DatabaseUnavailableError {
  override name = 'LockTimeoutError';
  override readonly code: string = 'REPLAY_GUARD_LOCK_TIMEOUT';
}

/** A COMMIT was sent and its answer was lost. The transaction may or may not be committed. */
export class CommitInDoubtError extends Error {
  override name = 'CommitInDoubtError';
  readonly code: string = 'REPLAY_GUARD_COMMIT_IN_DOUBT';
}

/** Another execution took the key over, or the time of this one ran out, before the commit. Everything was rolled back. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
  readonly code: string = 'REPLAY_GUARD_LEASE_LOST';
}

/** A unit of work cannot go on: it has ended, it ran too long, or one of its statements failed. */
export class UnitOfWorkError extends Error {
  override name = 'UnitOfWorkError';
  readonly code: string = 'REPLAY_GUARD_UNIT_OF_WORK';
}
