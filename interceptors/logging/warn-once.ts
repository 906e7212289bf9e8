import { outlineOf } from './describe-error.js';

/** Catches the rejection of an async method, which would end the process, or fail the call that is executing. */
export function warnOfRejection(result: unknown, warn: (error: unknown) => void): void {
  if (result instanceof Promise) result.catch(warn);
}

/**
 * Returns a function that emits one process warning about the errors of a method.
 * @param name the name of the method
 * @param owner what has the method. Default: an observer.
 */
export function warnOnce(name: string, owner = 'an observer'): (error: unknown) => void {
  let hasWarned = false;
  return (error) => {
    if (hasWarned) return;
    hasWarned = true;
    process.emitWarning(`the method ${name} of ${owner} failed; its later failures are not reported`, {
      type: 'ReplayGuardWarning',
      code: 'REPLAY_GUARD_OBSERVER_FAILED',
      detail: outlineOf(error),
    });
  };
}

/** Returns a function that calls a method and never throws. The errors of the method become one process warning. */
export function neverThrowing<Args extends readonly unknown[]>(
  method: (...args: Args) => unknown,
  warn: (error: unknown) => void,
): (...args: Args) => void {
  return (...args) => {
    try {
      warnOfRejection(method(...args), warn);
    } catch (error) {
      warn(error);
    }
  };
}
