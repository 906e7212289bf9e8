/** Why a wait ended before the work did. */
export type WaitEnd = 'timeout' | 'aborted';

export interface WaitLimit<T, Otherwise> {
  /** How long to wait, in milliseconds. Default: no limit. */
  readonly ms?: number;
  /** Ends the wait when it is aborted. */
  readonly signal?: AbortSignal;
  /** Gives the result when the wait ends before the work, or throws the error for that case. */
  readonly otherwise: (end: WaitEnd) => Otherwise;
  /** Receives what the work resolves to after the wait has ended. Default: it is dropped. */
  readonly late?: (result: T) => void;
}

/**
 * Settles as `work` does, or as `limit.otherwise` decides when the limit comes first. The work itself goes on: it cannot
 * be stopped from here. A rejection that comes after the limit is dropped.
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
    const give = (why: WaitEnd) => {
      end();
      try {
        resolve(otherwise(why));
      } catch (error) {
        reject(error);
      }
    };
    const onAbort = () => give('aborted');
    const timer = ms === undefined ? undefined : setTimeout(() => give('timeout'), ms);
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

/**
 * What `ask` resolves to, if it does so in time; the asking itself cannot be stopped.
 * @param expired makes the error that is thrown when `ms` have passed
 * @param late is given what is resolved to after that
 */
export function inTime<T>(
  ms: number,
  ask: () => Promise<T>,
  expired: () => Error,
  late?: (result: T) => void,
): Promise<T> {
  const otherwise = (): never => {
    throw expired();
  };
  // A store of somebody else's may throw where it should reject.
  return within((async () => ask())(), { ms, otherwise, ...(late && { late }) });
}
