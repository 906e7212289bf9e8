import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';

/** The version of this copy of the library, as in its `package.json`. */
export const version = '0.2.0';

/**
 * The version of the format of the values that copies share: contexts and executions. A new format that an earlier
 * version cannot read needs a new number.
 */
const FORMAT = 1;

/** The key of the execution of a guarded call, which is the same in all copies. */
export const EXECUTION = Symbol.for('grpc-replay-guard/execution');

/** One value of an asynchronous context. The context around it has the other values. */
export interface Context {
  readonly key: symbol;
  readonly value: unknown;
  readonly around: Context | undefined;
}

/** Returns the value of a key in a context. */
export function valueIn(context: Context | undefined, key: symbol): unknown {
  let current = context;
  while (current && current.key !== key) current = current.around;
  return current?.value;
}

/**
 * The state that copies with one format share. Copies with another format read all members except the contexts, so the
 * members never change.
 */
interface SharedState {
  /** The version of the copy that was loaded first. */
  readonly version: string;
  /** Holds undefined outside of guarded calls and units of work. */
  readonly storage: AsyncLocalStorage<Context | undefined>;
  /** Whether the current asynchronous context belongs to a guarded call. */
  isInGuardedCall(): boolean;
}

const CODE = 'REPLAY_GUARD_COPIES';
const NAME = Symbol.for('grpc-replay-guard/copies');
const holder = globalThis as { [NAME]?: Map<number, SharedState> };
/** The shared states of the copies of the library in this process, by format. */
const states = holder[NAME] ?? new Map<number, SharedState>();
holder[NAME] = states;

/**
 * The only AsyncLocalStorage of all copies of the library with the same format. Therefore the copies see each other's
 * guarded calls. On Node 20 each AsyncLocalStorage adds a cost to every promise of the process.
 */
export const { storage } = states.get(FORMAT) ?? addState();

/**
 * Adds the state of this format. Warns if there is a state of another format, because its copies do not see the guarded
 * calls of this copy. The warning names both versions.
 */
function addState(): SharedState {
  const own = new AsyncLocalStorage<Context | undefined>();
  for (const other of states.values()) process.emitWarning(conflictWith(other), { code: CODE });
  const isInGuardedCall = () => valueIn(own.getStore(), EXECUTION) !== undefined;
  const state = { version, storage: own, isInGuardedCall };
  states.set(FORMAT, state);
  return state;
}

/**
 * Refuses to continue inside a guarded call of a copy with another format. An id or a key that this copy makes there
 * would differ in every execution.
 * @throws Error that names both versions
 */
export function assertNoForeignCall(): void {
  if (states.size === 1) return;
  for (const [format, other] of states) {
    if (format === FORMAT || !other.isInGuardedCall()) continue;
    throw Object.assign(new Error(conflictWith(other)), { code: CODE });
  }
}

/** Runs `work`, and everything that `work` starts, outside of every guarded call and unit of work. */
export function outsideOfCalls<R>(work: () => R): R {
  let run = work;
  for (const state of states.values()) {
    if (state.storage.getStore() === undefined) continue;
    const inner = run;
    run = () => state.storage.run(undefined, inner);
  }
  return run();
}

/** Tools that look for open handles, such as Jest, report each resource that does not have this method. */
class LoadingContext extends AsyncResource {
  hasRef(): boolean {
    return false;
  }
}

const contextOfLoading = new LoadingContext('grpc-replay-guard');

/**
 * Runs `work`, and everything that `work` starts, in the asynchronous context in which this module was loaded. Long-lived
 * parts start here. The code that creates or wakes them may run inside a request, and `work` must carry neither the trace of
 * the request nor another value of its context.
 */
export function outsideOfRequests<R>(work: () => R): R {
  return contextOfLoading.runInAsyncScope(() => outsideOfCalls(work));
}

function conflictWith(other: SharedState): string {
  const [own, foreign] = [`grpc-replay-guard ${version}`, `grpc-replay-guard ${other.version}`];
  return `${own} cannot see the guarded calls of ${foreign} in the same process; install one version of the package`;
}
