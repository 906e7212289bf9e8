import { executions } from '../../execution/execution.js';

let users = 0;

/**
 * grpc-js ignores the promise that an async handler returns, so its rejection would end the process and
 * leave the client hanging. While a guard is open, one that comes out of a guarded call ends that call
 * instead, or is only reported where the call has ended before. @returns a function that ends this
 */
export function catchHandlerRejections(): () => void {
  if (users++ === 0) process.on('unhandledRejection', onRejection);
  let stopped = false;
  return () => {
    if (stopped) return;
    stopped = true;
    if (--users === 0) process.removeListener('unhandledRejection', onRejection);
  };
}

function onRejection(reason: unknown): void {
  const execution = executions.getStore();
  if (execution) {
    execution.fail(reason);
    return;
  }
  // Our listening must not hide what would have ended the process without it.
  if (process.listenerCount('unhandledRejection') === 1) throw reason;
}
