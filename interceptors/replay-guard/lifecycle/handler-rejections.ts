import { runInThisContext } from 'node:vm';
import { ContextValue } from '../../context/context-value.js';
import { currentExecution } from '../../execution/execution.js';

/** A call that runs unguarded. */
interface UnguardedCall {
  /** Receives the rejection of the handler. */
  fail(error: unknown): void;
}

/** The unguarded call of the current asynchronous context. All copies of the library share it. */
const unguardedCall = new ContextValue<UnguardedCall>(Symbol.for('grpc-replay-guard/unguarded-call'));

/** Runs a handler unguarded. An unhandled rejection of work that the handler starts goes to `fail`. */
export function runUnguarded(fail: (error: unknown) => void, handler: () => void): void {
  unguardedCall.run({ fail }, handler);
}

/** The process object on which Node emits events. Jest gives each test file a copy, on which Node emits nothing. */
const emitting = runInThisContext('process') as NodeJS.Process;

type Emit = (event: string | symbol, ...values: unknown[]) => boolean;

/** The replacement of `process.emit`. It stays in place, without effect, below a replacement of another library. */
interface Interception {
  isActive: boolean;
  /** Returns false if another library has redefined or sealed the property `process.emit` since. */
  remove(): boolean;
}

let openGuards = 0;
let interception: Interception | undefined;
let hasWarned = false;

/**
 * Handles the rejections of async handlers. grpc-js ignores the promise that a handler returns. Without this function,
 * its rejection would be unhandled, and the client would wait forever. While a guard is open, the rejection of a guarded
 * handler ends its call as failed. After the end of the call the rejection is only reported.
 *
 * Every other rejection takes its usual course, under every policy of `--unhandled-rejections`. A listener could not
 * provide this: Node considers a rejection handled as soon as any listener exists. Node tells a handled rejection from
 * an unhandled one by the result of `process.emit`, so this function replaces `process.emit`, and removes the
 * replacement when the last guard closes. A function that another library assigns to `process.emit` meanwhile is called
 * below the replacement. If `process.emit` cannot be replaced, for example because it is frozen, the function warns
 * once, and every rejection takes its usual course.
 * @returns a function that ends the handling for this guard
 */
export function catchHandlerRejections(): () => void {
  if (openGuards++ === 0) {
    interception ??= canReplace() ? intercept() : undefined;
    if (interception) interception.isActive = true;
    else warnOnce();
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

/** Whether the property `process.emit` can be defined. Other libraries can prevent it, and so can `Object.freeze`. */
function canReplace(): boolean {
  const before = Object.getOwnPropertyDescriptor(emitting, 'emit');
  return before ? before.configurable === true : Object.isExtensible(emitting);
}

function warnOnce(): void {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(
    'process.emit cannot be replaced, so the guard does not catch the rejections of async handlers: ' +
      'the call of such a handler waits until its time limit, and Node may end the process',
    { code: 'REPLAY_GUARD_REJECTIONS' },
  );
}

/**
 * The property is an accessor, because other libraries assign to it. Some of them restore the function that they found
 * when they were loaded, such as `signal-exit` after each child process. A plain function would then be lost.
 */
function intercept(): Interception {
  const before = Object.getOwnPropertyDescriptor(emitting, 'emit');
  const layers = new WeakMap<Emit, Emit>();
  /** Returns a new function for each function below, because the function below may call an earlier layer. */
  const layerOver = (below: Emit): Emit => {
    const layer: Emit = (event, ...values) => {
      // Node emits the event in the asynchronous context of the promise.
      const isOurs = event === 'unhandledRejection' && own.isActive;
      const call = isOurs ? (currentExecution.get() ?? unguardedCall.get()) : undefined;
      if (!call) return Reflect.apply(below, emitting, [event, ...values]);
      call.fail(values[0]);
      return true;
    };
    layers.set(layer, below);
    return layer;
  };
  const first = layerOver(emitting.emit as Emit);
  let top = first;
  const get = () => (own.isActive ? top : layers.get(top));
  const own: Interception = {
    isActive: true,
    remove() {
      const current = Object.getOwnPropertyDescriptor(emitting, 'emit');
      if (current?.get !== get || !current.configurable) return false;
      if (before) define(before);
      else Reflect.deleteProperty(emitting, 'emit');
      // The property below may be the accessor of another copy of this library, which must learn of the function.
      if (top !== first) Object.assign(emitting, { emit: layers.get(top) });
      return true;
    },
  };
  const set = (emit: Emit) => {
    top = layers.has(emit) ? emit : layerOver(emit);
  };
  define({ get, set });
  return own;
}

function define(property: PropertyDescriptor): void {
  Object.defineProperty(emitting, 'emit', { configurable: true, ...property });
}
