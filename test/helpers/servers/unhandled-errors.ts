import type { TestFn } from 'ava';

/**
 * Takes ava's ear off unhandled rejections for this file, so that the guard is the only one who listens, as
 * in a server of its own. What would have ended that server since the last time is in `takeUnhandled`.
 */
export function captureUnhandledErrors(test: TestFn): { takeUnhandled(): unknown[] } {
  const escaped: unknown[] = [];
  const heard = process.listeners('unhandledRejection');
  test.before(() => {
    process.removeAllListeners('unhandledRejection');
    process.setUncaughtExceptionCaptureCallback((error) => escaped.push(error));
  });
  test.after.always(() => {
    process.setUncaughtExceptionCaptureCallback(null);
    for (const listener of heard) process.on('unhandledRejection', listener);
  });
  return { takeUnhandled: () => escaped.splice(0) };
}
