/** The reason why a wait ended before the work: the time limit passed, or the signal was aborted. */
export type WaitEnd = 'timeout' | 'aborted';

/** The limit of a wait. */
export interface WaitLimit<T, Otherwise> {
  /** The time limit in milliseconds. Default: no time limit. */
  readonly ms?: number;
  /** Ends the wait when the signal is aborted. */
  readonly signal?: AbortSignal;
  /** Returns the result, or throws the error, of a wait that ends before the work. */
  readonly otherwise: (end: WaitEnd) => Otherwise;
  /** Receives the result of work that resolves after the wait has ended. Default: the result is dropped. */
  readonly late?: (result: T) => void;
  /** Whether the timer of the time limit keeps the process alive. Default: true. */
  readonly keepsProcessAlive?: boolean;
}

/**
 * Resolves or rejects as `work` does, unless the limit ends the wait first. In that case `limit.otherwise` returns
 * the result. The work itself continues, because a promise cannot be stopped. A later rejection of the work is
 * dropped. Work that an abort listener of the signal has ended wins over the abort.
 */
export function within<T, Otherwise>(
  work: Promise<T>,
  limit: WaitLimit<T, Otherwise>,
): Promise<T | Otherwise> {
  const { ms, signal, otherwise, late } = limit;
  return new Promise((resolve, reject) => {
    let isOver = false;
    const end = () => {
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const endEarly = (why: WaitEnd) => {
      if (isOver) return;
      end();
      try {
        resolve(otherwise(why));
      } catch (error) {
        reject(error);
      }
    };
    // The reactions of work that has ended run before this microtask.
    const onAbort = () => queueMicrotask(() => endEarly('aborted'));
    const timer = ms === undefined ? undefined : setTimeout(() => endEarly('timeout'), ms);
    if (limit.keepsProcessAlive === false) timer?.unref();
    work.then(
      (result) => {
        if (isOver) return late?.(result);
        end();
        resolve(result);
      },
      (error) => {
        if (isOver) return;
        end();
        reject(error);
      },
    );
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}
