import { currentExecution } from '../../execution/execution.js';

let openGuards = 0;

/**
 * Handles the rejections of async handlers. grpc-js ignores the promise that a handler returns. Without this
 * function, a rejection would end the process, and the client would wait forever. While a guard is open, the rejection
 * of a guarded handler ends its call as failed. After the end of the call the rejection is only reported.
 * @returns a function that ends the handling for this guard
 */
export function catchHandlerRejections(): () => void {
  if (openGuards++ === 0) process.on('unhandledRejection', onRejection);
  let isStopped = false;
  return () => {
    if (isStopped) return;
    isStopped = true;
    if (--openGuards === 0) process.removeListener('unhandledRejection', onRejection);
  };
}

function onRejection(reason: unknown): void {
  const execution = currentExecution.get();
  if (execution) {
    execution.fail(reason);
    return;
  }
  // Without this listener, the rejection would end the process. The listener must preserve this behaviour.
  if (process.listenerCount('unhandledRejection') === 1) throw reason;
}
