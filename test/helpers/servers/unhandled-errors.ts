import type { TestFn } from 'ava';

/**
 * Captures unhandled rejections and uncaught exceptions of a test file instead of failing its tests at once.
 * ava's own listener is removed, so the process has no listener, as a server in production. `takeUnhandled` returns
 * the captured errors since its last call.
 */
export function captureUnhandledErrors(test: TestFn): { takeUnhandled(): unknown[] } {
  const captured: unknown[] = [];
  const listeners = process.listeners('unhandledRejection');
  test.before(() => {
    process.removeAllListeners('unhandledRejection');
    process.setUncaughtExceptionCaptureCallback((error) => captured.push(error));
  });
  test.after.always(() => {
    process.setUncaughtExceptionCaptureCallback(null);
    for (const listener of listeners) process.on('unhandledRejection', listener);
  });
  return { takeUnhandled: () => captured.splice(0) };
}
