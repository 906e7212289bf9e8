import type { LazySignal } from '../../timing/lazy-signal.js';
import type { Refusal } from '../refusal/refusal.js';

/**
 * The stored reply of an in-flight call. Undefined when the call ended without a stored reply. The key may then be
 * free.
 */
export type InFlightOutcome = StoredReply | undefined;

/** A reply in the form in which the store holds it. */
export interface StoredReply {
  /** The id of the record that stores the reply. Only this id decodes the reply. */
  readonly recordId: Buffer;
  readonly reply: Buffer;
  /** When the retention of the key ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
}

/** The reason why a wait ended before the in-flight call: its time limit, or the end of the duplicate's own call. */
export type InterruptedWait = 'timeout' | 'call-ended';

type EndWait = (end: InFlightOutcome | InterruptedWait) => void;

/** An execution that can be ended before its handler. */
export interface RunningHandler {
  /** Ends the execution as failed. Returns false when the handler has already answered. */
  fail(error: Error): boolean;
}

/** One operation that this process is executing, and the duplicates that wait for the reply. */
export class InFlightCall {
  /** The key of the call among the `InFlightCalls`. */
  readonly mapKey: string;
  readonly fingerprint: Buffer;
  readonly #startedAt = performance.now();
  /** How many calls wait for this call at present. `Waiters` updates this count. */
  waiting = 0;
  /** The in-flight call with the previous sequence, while this call waits for it. */
  waitsFor: InFlightCall | undefined;
  /** The refusal with which the call ended. Undefined before its end, and after an execution. */
  refusal: Refusal | undefined;
  /** The execution of the call. Undefined before the handler starts. */
  handler: RunningHandler | undefined;
  /** Undefined until the store has answered. */
  #isClaimed: boolean | undefined;
  /** Created when a duplicate first reads `claimed`. */
  #claimed: PromiseWithResolver<boolean> | undefined;
  /** The waits of other calls. Undefined before the first wait. */
  #waiters: Set<EndWait> | undefined;
  /** The wait of the successor, see `wait`. */
  #successor: EndWait | undefined;

  constructor(mapKey: string, fingerprint: Buffer) {
    this.mapKey = mapKey;
    this.fingerprint = fingerprint;
  }

  /** The time since the call began, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** Resolves to whether this call claimed the key with its fingerprint. Pending until the store has answered. */
  get claimed(): Promise<boolean> {
    if (this.#isClaimed !== undefined) return Promise.resolve(this.#isClaimed);
    this.#claimed ??= withResolver();
    return this.#claimed.promise;
  }

  confirmClaim(): void {
    this.#setClaimed(true);
  }

  end(outcome: InFlightOutcome): void {
    // Only the reply of an equal request ends this call.
    this.#setClaimed(outcome !== undefined);
    // The successor continues first, so that the other duplicates find its call and wait for it.
    this.#successor?.(outcome);
    for (const waiter of this.#waiters ?? []) waiter(outcome);
  }

  /** Whether a duplicate waits that can execute if this call ends without a stored reply. */
  get hasSuccessor(): boolean {
    return this.#successor !== undefined;
  }

  /** Records the first answer only. */
  #setClaimed(isClaimed: boolean): void {
    this.#isClaimed ??= isClaimed;
    this.#claimed?.resolve(isClaimed);
  }

  /** Ends the waits of all duplicates as timed out. */
  endWaits(): void {
    for (const waiter of this.#waiters ?? []) waiter('timeout');
  }

  /**
   * Resolves to the outcome, or to the reason why the wait ended earlier. After the wait, this in-flight call has no
   * reference to the waiting call.
   * @param callEnded aborted when the waiting call has ended
   * @param isSuccessor whether the waiting call is the one duplicate that keeps its request. It executes if this call
   *   ends without a stored reply.
   */
  wait(
    limitMs: number,
    callEnded: LazySignal,
    isSuccessor = false,
  ): Promise<InFlightOutcome | InterruptedWait> {
    const { signal } = callEnded;
    this.#waiters ??= new Set();
    const waiters = this.#waiters;
    return new Promise((resolve) => {
      const onCallEnded = () => done('call-ended');
      const timer = setTimeout(() => done('timeout'), Math.max(limitMs, 0));
      const done: EndWait = (end) => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onCallEnded);
        waiters.delete(done);
        if (this.#successor === done) this.#successor = undefined;
        resolve(end);
      };
      waiters.add(done);
      if (isSuccessor) this.#successor = done;
      if (signal.aborted) onCallEnded();
      else signal.addEventListener('abort', onCallEnded, { once: true });
    });
  }
}

/** The in-flight calls of this process, by record id. */
export class InFlightCalls {
  readonly #byId = new Map<string, InFlightCall>();
  readonly #onEmpty = new Set<() => void>();

  /** Returns the in-flight call of an operation, if this process executes the operation. */
  find(id: Buffer): InFlightCall | undefined {
    return this.#byId.get(mapKeyOf(id));
  }

  /** Adds the call that executes an operation. `find` must have returned undefined for the id. */
  start(id: Buffer, fingerprint: Buffer): InFlightCall {
    const inFlight = new InFlightCall(mapKeyOf(id), fingerprint);
    this.#byId.set(inFlight.mapKey, inFlight);
    return inFlight;
  }

  /** Removes a call and passes its outcome to the duplicates. */
  end(inFlight: InFlightCall, outcome: InFlightOutcome): void {
    this.#byId.delete(inFlight.mapKey);
    inFlight.end(outcome);
    if (this.#byId.size === 0) for (const resolve of this.#onEmpty) resolve();
  }

  /** The number of calls in flight. */
  get size(): number {
    return this.#byId.size;
  }

  /** Ends all running executions as failed. Returns the number of the ended executions. */
  stopHandlers(error: Error): number {
    let stopped = 0;
    for (const { handler } of this.#byId.values()) if (handler?.fail(error)) stopped++;
    return stopped;
  }

  /** Ends the waits of all duplicates as timed out. */
  endWaits(): void {
    for (const inFlight of this.#byId.values()) inFlight.endWaits();
  }

  /** Resolves when no call is in flight. */
  async empty(): Promise<void> {
    if (this.#byId.size === 0) return;
    await new Promise<void>((resolve) => this.#onEmpty.add(resolve));
    this.#onEmpty.clear();
  }
}

function mapKeyOf(id: Buffer): string {
  return id.toString('latin1');
}

interface PromiseWithResolver<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
}

/** Node 20 has no `Promise.withResolvers`. */
function withResolver<T>(): PromiseWithResolver<T> {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((resolvePromise) => {
    resolve = resolvePromise;
  });
  return { promise, resolve };
}
