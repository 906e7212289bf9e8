import { currentExecution } from '../../execution/execution.js';

type Emit = (event: string | symbol, ...values: unknown[]) => boolean;

/** The replacement of `process.emit`. It stays in place, without effect, below a replacement of another library. */
interface Interception {
  isActive: boolean;
  /** Returns false if another library has replaced `process.emit` since. */
  remove(): boolean;
}

let openGuards = 0;
let interception: Interception | undefined;

/**
 * Handles the rejections of async handlers. grpc-js ignores the promise that a handler returns. Without this function,
 * its rejection would be unhandled, and the client would wait forever. While a guard is open, the rejection of a guarded
 * handler ends its call as failed. After the end of the call the rejection is only reported.
 *
 * Every other rejection takes its usual course, under every policy of `--unhandled-rejections`. A listener could not
 * provide this: Node considers a rejection handled as soon as any listener exists. Node tells a handled rejection from
 * an unhandled one by the result of `process.emit`, so this function replaces `process.emit`, and removes the
 * replacement when the last guard closes.
 * @returns a function that ends the handling for this guard
 */
export function catchHandlerRejections(): () => void {
  if (openGuards++ === 0) {
    interception ??= intercept();
    interception.isActive = true;
  }
  let isStopped = false;
  return () => {
    if (isStopped) return;
    isStopped = true;
    if (--openGuards > 0 || !interception) return;
    interception.isActive = false;
    if (interception.remove()) interception = undefined;
  };
}

function intercept(): Interception {
  const before = Object.getOwnPropertyDescriptor(process, 'emit');
  const next = process.emit;
  const own: Interception = {
    isActive: true,
    remove() {
      if (process.emit !== emit) return false;
      if (before) Object.defineProperty(process, 'emit', before);
      else Reflect.deleteProperty(process, 'emit');
      return true;
    },
  };
  const emit: Emit = (event, ...values) => {
    // Node emits the event in the asynchronous context of the promise.
    const execution = event === 'unhandledRejection' && own.isActive ? currentExecution.get() : undefined;
    if (!execution) return Reflect.apply(next, process, [event, ...values]);
    execution.fail(values[0]);
    return true;
  };
  Object.defineProperty(process, 'emit', { value: emit, writable: true, configurable: true });
  return own;
}
