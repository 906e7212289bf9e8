import { PRODUCER_HEADER } from '../../protocol/headers.js';
import { SEQUENCE_WINDOW_SIZE } from '../../store/producer/sequence-window.js';
import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import { within } from '../../timing/timeout.js';
import type { GuardedCall } from '../call/guarded-call.js';
import type { Operation } from '../operation/operation.js';
import { refusals } from '../refusal/refusal.js';
import type { Slot } from '../store-access/quotas.js';
import type { ClaimAttempt, Claimer, Pause } from './claim.js';
import type { InFlightCall, InFlightCalls } from './in-flight.js';
import type { Wait } from './wait.js';
import type { Waiters } from './waiters.js';

/**
 * How long an earlier call can delay the reading of a later call, in milliseconds. The limit protects callers that
 * share a connection and a producer name. The scope source may never return a scope for one of these callers.
 */
const MAX_DELAY_MS = 1_000;

/**
 * How many calls of a producer may wait behind its running call. Each of them executes later and keeps its request. A
 * producer that obeys the contract does not send more.
 */
const MAX_BEHIND = SEQUENCE_WINDOW_SIZE - 1;

/** Resolves to the result of `reading`, after all earlier calls of the producer have been read. */
type ReadInOrder = <T>(reading: Promise<T>) => Promise<T>;

/**
 * Keeps the calls of one producer in order. A producer may send calls without waiting for the answers. The calls are
 * read in the order in which their metadata arrived. Each call then waits for the in-flight call with the previous
 * sequence.
 */
export class ProducerOrder {
  readonly #inFlight: InFlightCalls;
  readonly #claimer: Claimer;
  readonly #waiters: Waiters;
  /** The last call of each producer, as a promise that resolves when the call has been read. */
  readonly #lastRead = new Map<string, Promise<void>>();
  readonly #readInOrder = new WeakMap<GuardedCall, ReadInOrder>();

  constructor(inFlight: InFlightCalls, claimer: Claimer, waiters: Waiters) {
    this.#inFlight = inFlight;
    this.#claimer = claimer;
    this.#waiters = waiters;
  }

  /**
   * Records the position of a call when its metadata has arrived. Whole requests can arrive in another order. For
   * example, a long request arrives after a short request that was sent later.
   */
  register(call: GuardedCall): void {
    const producer = call.metadata.get(PRODUCER_HEADER).join();
    if (!producer) return;
    // Only calls on the same connection have an order.
    const name = `${call.getPeer()} ${call.method.path} ${producer}`;
    this.#readInOrder.set(call, this.#append(name, call.ended.signal));
  }

  /**
   * Reads a call. Returns the result, for a call of a producer after all its earlier calls have been read. Code that
   * awaits a returned promise directly continues before later calls continue.
   */
  read<T>(call: GuardedCall, read: () => MaybePromise<T>): MaybePromise<T> {
    const readInOrder = this.#readInOrder.get(call);
    return readInOrder ? readInOrder((async () => read())()) : read();
  }

  /**
   * Waits for the in-flight call with the previous sequence, if this process has such a call.
   * @param own the in-flight call of the waiting call
   * @returns whether this process had such a call, or `call-ended` when the waiting call has ended
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS when the wait ends before the previous call, or too many calls wait
   * @throws Refusal IDEMPOTENCY_SEQUENCE_GAP when the previous call ended without a stored reply
   */
  waitForPrevious(
    call: GuardedCall,
    own: InFlightCall,
    operation: Operation,
    wait: Wait,
  ): MaybePromise<boolean | 'call-ended'> {
    const previous = operation.precededBy && this.#inFlight.find(operation.precededBy);
    return previous ? this.#waitFor(previous, call, own, operation, wait) : false;
  }

  async #waitFor(
    previous: InFlightCall,
    call: GuardedCall,
    own: InFlightCall,
    { scope, series }: Operation,
    wait: Wait,
  ): Promise<boolean | 'call-ended'> {
    const inProgress = () => refusals.inProgress(previous.ageMs);
    if (waitingBefore(previous) >= MAX_BEHIND) throw refusals.tooManyBehind(previous.ageMs, MAX_BEHIND);
    own.waitsFor = previous;
    const until = () => previous.wait(wait.remainingMs, call.ended);
    const end = await this.#waiters.wait(call, scope, previous, until).finally(() => {
      own.waitsFor = undefined;
    });
    if (end === 'timeout') throw inProgress();
    if (end === 'call-ended') return end;
    // The client retries the previous call, so it must also retry the later calls of the producer.
    if (!end && previous.refusal?.outcome === 'in_progress') throw inProgress();
    // The store accepts 1 as an initial sequence. If 1 executed now, a retry of 0 would be refused as outdated.
    if (!end && series?.sequence === 1n && (await previous.claimed)) throw refusals.sequenceGap(0n);
    return true;
  }

  /**
   * Claims an operation. After a gap, the claim is repeated if the call with the previous sequence has arrived.
   * @param own the in-flight call of the call
   * @param slot the slot of the call among the in-flight calls of its scope
   * @throws ClaimError, Refusal in the same cases as `Claimer.claim` and `waitForPrevious`
   */
  claim(
    call: GuardedCall,
    own: InFlightCall,
    operation: Operation,
    wait: Wait,
    slot: Slot,
  ): MaybePromise<ClaimAttempt | 'call-ended'> {
    const pause = this.#pauseOf(call, operation, wait, slot);
    const claim = () => this.#claimer.claim(operation, pause, slot);
    if (!operation.series) return claim();
    return then(claim(), (attempt) =>
      attempt.result.outcome === 'gap'
        ? this.#claimAfterGap(call, own, operation, wait, attempt, claim)
        : attempt,
    );
  }

  /** Returns the wait of a call for an execution of another server. */
  #pauseOf(call: GuardedCall, { scope }: Operation, wait: Wait, slot: Slot): Pause {
    let leave: (() => void) | undefined;
    return {
      before: async (attempt) => {
        if (wait.remainingMs === 0) return false;
        // Without a slot the call does not execute. A stored reply may still answer it.
        if (slot === 'none') call.dropRequest();
        leave ??= this.#waiters.enter(call, scope, { waiting: 0, ageMs: wait.elapsedMs });
        return wait.pause(attempt);
      },
      end: () => {
        leave?.();
        leave = undefined;
      },
    };
  }

  async #claimAfterGap(
    call: GuardedCall,
    own: InFlightCall,
    operation: Operation,
    wait: Wait,
    refused: ClaimAttempt,
    claim: () => MaybePromise<ClaimAttempt>,
  ): Promise<ClaimAttempt | 'call-ended'> {
    let attempt = refused;
    while (attempt.result.outcome === 'gap') {
      const hadPrevious = await this.waitForPrevious(call, own, operation, wait);
      if (hadPrevious === 'call-ended') return hadPrevious;
      if (!hadPrevious) break;
      attempt = await claim();
    }
    return attempt;
  }

  #append(name: string, callEnded: AbortSignal): ReadInOrder {
    const earlier = this.#lastRead.get(name);
    let markRead = () => {};
    const read = new Promise<void>((resolve) => {
      markRead = resolve;
    });
    this.#lastRead.set(name, read);
    read.then(() => {
      if (this.#lastRead.get(name) === read) this.#lastRead.delete(name);
    });
    // When a call ends early, later calls still wait for the calls before the ended call.
    const skip = () => void untilRead(earlier).then(markRead);
    if (callEnded.aborted) skip();
    else callEnded.addEventListener('abort', skip, { once: true });
    const onRead = () => {
      if (callEnded.aborted) return;
      callEnded.removeEventListener('abort', skip);
      markRead();
    };
    return (reading) => {
      const ordered = after(earlier, reading, callEnded);
      ordered.then(onRead, onRead);
      return ordered;
    };
  }
}

/** Returns how many calls wait for earlier sequences, counted from this call to the running call of its series. */
function waitingBefore(inFlight: InFlightCall): number {
  let count = 0;
  for (let before = inFlight.waitsFor; before; before = before.waitsFor) count++;
  return count;
}

async function after<T>(
  earlier: Promise<void> | undefined,
  reading: Promise<T>,
  callEnded: AbortSignal,
): Promise<T> {
  // Without this handler, an early rejection would be unhandled. The returned promise reports the error.
  reading.catch(() => {});
  if (!callEnded.aborted) await untilRead(earlier, callEnded);
  return reading;
}

/** Resolves when the earlier calls have been read, at the latest after `MAX_DELAY_MS` or when the call has ended. */
function untilRead(earlier: Promise<void> | undefined, callEnded?: AbortSignal): Promise<void> {
  if (!earlier) return Promise.resolve();
  return within(earlier, {
    ms: MAX_DELAY_MS,
    otherwise: () => {},
    keepsProcessAlive: false,
    ...(callEnded && { signal: callEnded }),
  });
}
