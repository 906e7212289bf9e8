/** A value that is there at once, or a promise of the value. Work that does not wait creates no promise. */
export type MaybePromise<T> = T | Promise<T>;

/** Returns whether the value is a promise. A promise of another implementation counts. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  if (value instanceof Promise) return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return typeof (value as { then?: unknown }).then === 'function';
}

/**
 * Calls `next` with the value: at once if the value is there, otherwise when its promise resolves. An error of `next`
 * is thrown, or rejects the returned promise.
 */
export function then<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return isPromise(value) ? Promise.resolve(value).then(next) : next(value);
}

/**
 * Runs `work`, then calls `done` with its result or `failed` with its error. An error that `work` throws and a
 * rejection of its promise are treated alike. Errors of `done` and `failed` are thrown, or reject the returned promise.
 */
export function thenOrCatch<T, R>(
  work: () => MaybePromise<T>,
  done: (result: T) => MaybePromise<R>,
  failed: (error: unknown) => MaybePromise<R>,
): MaybePromise<R> {
  let result: MaybePromise<T>;
  try {
    result = work();
  } catch (error) {
    return failed(error);
  }
  return isPromise(result) ? Promise.resolve(result).then(done, failed) : done(result);
}
