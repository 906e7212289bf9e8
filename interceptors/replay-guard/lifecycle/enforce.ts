import { status } from '@grpc/grpc-js';
import { findCause, isContention } from '../../database/error-kinds.js';
import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import { LazySignal } from '../../timing/lazy-signal.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import { type Answer, type GuardedCall, isRefusal, type Lifecycle } from '../call/guarded-call.js';
import { RefusedCall } from '../call/refused-call.js';
import type { ReplayGuardObserver } from '../observer.js';
import type { Operation, OperationReader } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import type { Quotas } from '../store-access/quotas.js';
import { type CallEnd, endByRecord, refused, replayed } from './call-end.js';
import { type ClaimAttempt, ClaimError, type Claimer } from './claim.js';
import { type ClosedGuard, endsWithin, ROLLBACK_MS } from './closing.js';
import type { Committer } from './commit.js';
import { decide, toAnswer } from './decide.js';
import type { Executor } from './execute.js';
import { runUnguarded } from './handler-rejections.js';
import type { InFlightCall, InFlightCalls } from './in-flight.js';
import { isReused } from './look-up.js';
import { ProducerOrder } from './producer-order.js';
import { Wait } from './wait.js';
import type { Waiters } from './waiters.js';

/** The collaborators of `EnforceLifecycle`. */
export interface EnforceParts {
  readonly operations: OperationReader;
  readonly claimer: Claimer;
  readonly executor: Executor;
  readonly committer: Committer;
  readonly quotas: Quotas;
  readonly codec: ReplyCodec;
  readonly inFlight: InFlightCalls;
  readonly waiters: Waiters;
  readonly observer: ReplayGuardObserver;
  /** Returns the digest of a scope for observers. */
  readonly scopeDigest: (scope: string) => string;
}

/** A call that is being served, and what the call holds until its answer is sent. */
interface ServedCall {
  readonly call: GuardedCall;
  /** Present if this call is the first call of its operation in this process. */
  own?: InFlightCall;
  /** The scope of the caller. Undefined before the operation was read. */
  scope?: string;
  /** The scope in which this call has a slot among the in-flight calls. */
  slotOf?: string;
}

/** A served call whose operation was read. */
interface GuardedRequest {
  readonly served: ServedCall;
  readonly operation: Operation;
  /** The time for which the call may wait for other executions. */
  readonly wait: Wait;
}

/**
 * Mode ENFORCE: each operation executes once. The first call of an operation in this process claims and executes the
 * operation. Its duplicates wait for the first call and receive the same reply. One of them keeps its request, and
 * executes if the first call ends without a stored reply. The others keep the fingerprint only.
 *
 * This file shows the life of a call from top to bottom: read the operation, join a running call, claim, execute,
 * decide, commit, answer. Each step returns how the call ends, or throws. Only `#answer` answers. A step that does not
 * wait creates no promise. A stored reply of a synchronous store is sent in the turn of the event loop in which the
 * request arrived.
 */
export class EnforceLifecycle implements Lifecycle {
  readonly #parts: EnforceParts;
  readonly #order: ProducerOrder;
  readonly #closing = new LazySignal();
  #isClosed = false;

  constructor(parts: EnforceParts) {
    this.#parts = parts;
    this.#order = new ProducerOrder(parts.inFlight, parts.claimer, parts.waiters);
  }

  onMetadata(call: GuardedCall): void {
    this.#order.register(call);
  }

  /** Processes a call and answers it. Neither throws nor rejects. */
  handle(call: GuardedCall): MaybePromise<void> {
    const served: ServedCall = { call };
    return thenOrCatch(
      () => this.#serve(served),
      (end) => this.#answer(served, end),
      (error) => this.#answer(served, this.#afterError(call, error)),
    );
  }

  /**
   * Refuses the waiting duplicates and resolves when the running executions have ended, at the latest `ROLLBACK_MS`
   * after the time limit. At the time limit the running executions are rolled back. Later calls are refused.
   */
  async close(timeoutMs: number): Promise<ClosedGuard> {
    const { inFlight } = this.#parts;
    this.#closing.abort();
    inFlight.endWaits();
    const isEmpty = await endsWithin(inFlight.empty(), timeoutMs);
    this.#isClosed = true;
    if (isEmpty) return { stopped: 0, unfinished: 0 };
    const stopped = inFlight.stopHandlers(new LeaseLostError('the guard was closed'));
    inFlight.endWaits();
    await endsWithin(inFlight.empty(), ROLLBACK_MS);
    return { stopped, unfinished: inFlight.size };
  }

  /** Reads the operation of a call, then joins a running call or executes the operation. */
  #serve(served: ServedCall): MaybePromise<CallEnd> {
    const { call } = served;
    if (this.#isClosed) throw refusals.storeUnavailable();
    return then(this.#readInOrder(call), (operation) => {
      // The guard may have closed while the operation was read.
      if (this.#isClosed) throw refusals.storeUnavailable();
      if (!operation) return this.#bypass(call);
      served.scope = operation.scope;
      const request = { served, operation, wait: new Wait(call, this.#closing) };
      const first = this.#parts.inFlight.find(operation.id);
      return first ? this.#join(request, first) : this.#lead(request);
    });
  }

  #readInOrder(call: GuardedCall): MaybePromise<Operation | undefined> {
    return this.#order.read(call, () => this.#parts.operations.read(call));
  }

  /**
   * Waits for the running call of the operation. If it ends without a reply, this call becomes the next one, unless it
   * has dropped its request. It is then refused, and its client retries.
   */
  async #join(request: GuardedRequest, first: InFlightCall): Promise<CallEnd> {
    let running: InFlightCall | undefined = first;
    let last = first;
    while (running) {
      const end = await this.#waitFor(request, running);
      if (end) return end;
      last = running;
      running = this.#parts.inFlight.find(request.operation.id);
    }
    // The guard may have closed during the wait.
    if (this.#isClosed) throw refusals.storeUnavailable();
    if (request.served.call.canExecute) return this.#lead(request);
    throw last.refusal?.code === status.UNAVAILABLE ? last.refusal : refusals.waitedInVain();
  }

  /**
   * Waits for the first call. Resolves to undefined when the first call ended without a reply. The key may then be
   * claimed.
   */
  async #waitFor(
    { served, operation, wait }: GuardedRequest,
    first: InFlightCall,
  ): Promise<CallEnd | undefined> {
    const { call } = served;
    const { waiters, codec } = this.#parts;
    const inProgress = () => refusals.inProgress(first.ageMs);
    if (isReused(operation, first)) {
      const claimed = await waiters.wait(call, operation.scope, first, () => {
        call.dropRequest();
        return wait.resultOf(first.claimed);
      });
      if (claimed === true) throw refusals.keyReused();
      if (claimed === false) return undefined;
      throw inProgress();
    }
    const end = await waiters.wait(call, operation.scope, first, () => {
      const isSuccessor = call.canExecute && !first.hasSuccessor;
      if (!isSuccessor) call.dropRequest();
      return first.wait(wait.remainingMs, call.ended, isSuccessor);
    });
    if (end === 'call-ended') return { outcome: 'in_progress' };
    if (end === 'timeout') throw inProgress();
    return end && replayed(codec, end, 'joined');
  }

  /** Claims the operation as its first call in this process. Executes it, or answers from the record. */
  #lead(request: GuardedRequest): MaybePromise<CallEnd> {
    const { served, operation, wait } = request;
    const { inFlight, codec } = this.#parts;
    const own = inFlight.start(operation.id, operation.fingerprint);
    served.own = own;
    return then(this.#order.waitForPrevious(served.call, own, operation, wait), (previous) => {
      if (previous === 'call-ended') return { outcome: 'in_progress' };
      return then(this.#claim(request, own), (attempt) => {
        if (attempt === 'call-ended') return { outcome: 'in_progress' };
        const { result } = attempt;
        if (result.outcome === 'claimed') return this.#execute(served, result.claim, attempt);
        return endByRecord(codec, attempt.operation, result, wait.elapsedMs);
      });
    });
  }

  #claim(
    { served, operation, wait }: GuardedRequest,
    own: InFlightCall,
  ): MaybePromise<ClaimAttempt | 'call-ended'> {
    const slot = this.#parts.quotas.takeSlot(operation.scope, served.call);
    if (slot === 'taken') served.slotOf = operation.scope;
    return this.#order.claim(served.call, own, operation, wait, slot);
  }

  /** Runs the handler under the claim. Commits its writes with the reply, or rolls them back. */
  #execute({ call, own }: ServedCall, claim: Claim, attempt: ClaimAttempt): MaybePromise<CallEnd> {
    const { executor, committer } = this.#parts;
    own?.confirmClaim();
    // grpc-js does not start the handler of a call that has ended.
    if (call.ended.isAborted) return committer.release(claim);
    // The guard may have closed while the store processed the claim.
    if (this.#isClosed) return committer.release(claim, toAnswer(refusals.storeUnavailable()));
    if (own) own.handler = call;
    const running = executor.start(call, attempt.operation, claim, attempt.sentAt);
    return then(running.result, (result) =>
      committer.end(executor.end(running, result), decide(result, call.method.policy, claim)),
    );
  }

  /** Returns the end of a call in which a step has failed. */
  #afterError(call: GuardedCall, error: unknown): CallEnd {
    if (error instanceof Refusal) return refused(error);
    let failure = error;
    if (error instanceof ClaimError) {
      try {
        return this.#withoutStore(call, error);
      } catch (bypassError) {
        failure = bypassError;
      }
    }
    const answer = { code: status.INTERNAL, details: 'the call could not be served' };
    return { outcome: 'refused', answer, failure };
  }

  /**
   * Ends a call that the store could not claim. In an outage, the policy of the method decides whether the call is
   * refused or runs unguarded. While the store is only busy, the call is refused: an unguarded call could execute an
   * operation that another call executes.
   */
  #withoutStore(call: GuardedCall, error: ClaimError): CallEnd {
    const mayExecute = call.method.policy.onStoreFailure === 'EXECUTE' && !findCause(error, isContention);
    if (!mayExecute || !call.canExecute) return refused(refusals.storeUnavailable(error));
    // A disconnected client will retry. The retry would execute again, because an unguarded execution stores no
    // record.
    if (call.ended.isAborted) return { outcome: 'released' };
    this.#parts.observer.executedUnguarded(call.method.observed);
    return this.#bypass(call);
  }

  /** Answers a call, then passes its reply to the duplicates that wait for it. */
  #answer({ call, own, scope, slotOf }: ServedCall, end: CallEnd): void {
    const { inFlight, quotas, observer, scopeDigest } = this.#parts;
    let sent: Answer | undefined;
    try {
      if (end.answer) sent = call.answer(end.answer);
    } finally {
      if (slotOf !== undefined) quotas.returnSlot(slotOf);
      if (own) {
        own.refusal = end.refusal;
        inFlight.end(own, end.stored);
      }
    }
    if (end.refusal?.exceeded) observer.quotaExceeded(call.method.observed, end.refusal.exceeded);
    if (isRefusal(sent)) {
      const refused = new RefusedCall(sent, end.refusal?.exceeded, call, scope, scopeDigest);
      observer.callRefused(call.method.observed, refused);
    }
    if ('failure' in end) observer.handlerFailed(call.method.observed, end.failure);
    const outcome = sent === end.answer ? end.outcome : 'refused';
    observer.callEnded(call.method.observed, outcome);
    // An unguarded handler answers later.
    if (outcome !== 'bypassed') call.endTrace(outcome, sent);
  }

  /** Runs the handler unguarded. A handler that rejects must not end the process, for example during an outage. */
  #bypass(call: GuardedCall): CallEnd {
    const fail = (error: unknown) => {
      const answer = call.answer({ code: status.INTERNAL, details: 'the handler failed' });
      call.endTrace('bypassed', answer);
      this.#parts.observer.handlerFailed(call.method.observed, error);
    };
    runUnguarded(fail, () => call.bypass());
    return { outcome: 'bypassed' };
  }
}
