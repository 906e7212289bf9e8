/** The database cannot be reached or refuses work for now; nothing was committed. */
export class DatabaseUnavailableError extends Error {
  override name = 'DatabaseUnavailableError';
}

/** A row lock was not granted in time: somebody else holds it. Nothing was committed. */
export class LockTimeoutError extends DatabaseUnavailableError {
  override name = 'LockTimeoutError';
}

/** A commit was sent and its answer did not arrive: it may or may not have happened. */
export class CommitInDoubtError extends Error {
  override name = 'CommitInDoubtError';
}

/** The key was taken over, or its time ran out, before the commit. Everything was rolled back. */
export class LeaseLostError extends Error {
  override name = 'LeaseLostError';
}

/** A unit of work cannot go on: it ended, ran too long, or one of its statements failed. */
export class UnitOfWorkError extends Error {
  override name = 'UnitOfWorkError';
}
