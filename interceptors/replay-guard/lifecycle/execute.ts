import { LeaseLostError } from '../../database/errors.js';
import { currentExecution, type Execution } from '../../execution/execution.js';
import type { Claim } from '../../store/store.js';
import type { GuardedCall } from '../call/guarded-call.js';
import type { HandlerResult } from '../call/reply-capture.js';
import type { ReplayGuardObserver } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { Refusal } from '../refusal/refusal.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import type { Committer, ExecutionOutcome } from './commit.js';
import { decide } from './decide.js';
import { Lease } from './lease.js';

/** Runs the handler of a claimed call while the lease is held, and ends the execution. */
export class Executor {
  readonly #store: ObservedStore;
  readonly #committer: Committer;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, committer: Committer, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#committer = committer;
    this.#observer = observer;
  }

  /**
   * Executes the operation of a call and answers the call.
   * @param sentAt when the claim was sent, by `performance.now()`
   * @throws Refusal when another execution has stored a reply that cannot be read. The call is not answered yet.
   */
  async execute(
    call: GuardedCall,
    operation: Operation,
    claim: Claim,
    sentAt: number,
  ): Promise<ExecutionOutcome> {
    if (call.ended.aborted) {
      // grpc-js does not start the handler of a call that has ended.
      await this.#store.release(claim);
      return { outcome: 'released' };
    }
    const { observed, policy } = call.method;
    this.#observer.executionStarted(observed, claim.takenOver);
    const onLost = (error: LeaseLostError) => call.fail(error);
    // With atomicity TRANSACTION, the open transaction holds the claim, so the duration of the claim does not count.
    const heldSince = operation.atomicity === 'LEASE' ? sentAt : performance.now();
    const lease = new Lease(this.#store, claim, operation.leaseMs, heldSince, onLost);
    const result = await this.#runHandler(call, operation, claim);
    lease.stop();
    this.#observer.executionEnded(observed);
    this.#reportFailure(call, result);
    return this.#committer.end({ call, operation, claim, lease }, decide(result, policy));
  }

  async #runHandler(call: GuardedCall, operation: Operation, claim: Claim): Promise<HandlerResult> {
    const { observed, policy } = call.method;
    const stop = new AbortController();
    const execution: Execution = {
      recordId: operation.id,
      callerMetadata: call.metadata,
      ...(operation.firstSent && { firstSentMs: operation.firstSent.earliestMs }),
      steps: [],
      startedSteps: new Set(),
      callCounts: new Map(),
      signal: stop.signal,
      fail: (error) => {
        if (!call.fail(error)) this.#observer.handlerFailed(observed, error);
      },
    };
    const onTimeout = () =>
      call.fail(new LeaseLostError(`the execution exceeded its limit of ${policy.maxExecutionMs} ms`));
    const limit = setTimeout(onTimeout, policy.maxExecutionMs);
    const onRolledBack = () => call.fail(asLeaseLost(claim.lost.reason));
    claim.lost.addEventListener('abort', onRolledBack);
    try {
      const result = await claim.run(() => currentExecution.run(execution, () => call.execute()));
      if (!('reply' in result)) this.#stopHandler(call, stop, result);
      return result;
    } finally {
      clearTimeout(limit);
      claim.lost.removeEventListener('abort', onRolledBack);
    }
  }

  /** Signals the end of the execution to a handler that may still run. */
  #stopHandler(call: GuardedCall, stop: AbortController, result: HandlerResult): void {
    stop.abort('failure' in result ? result.failure : undefined);
    try {
      call.cancelHandler();
    } catch (error) {
      // A listener of the handler threw. The key must still be released.
      this.#observer.handlerFailed(call.method.observed, error);
    }
  }

  #reportFailure(call: GuardedCall, result: HandlerResult): void {
    if (!('failure' in result)) return;
    const { failure } = result;
    if (failure instanceof Refusal || failure instanceof LeaseLostError) return;
    this.#observer.handlerFailed(call.method.observed, failure);
  }
}

function asLeaseLost(reason: unknown): LeaseLostError {
  if (reason instanceof LeaseLostError) return reason;
  return new LeaseLostError('the store ended the unit of work', { cause: reason });
}
