import { LeaseLostError } from '../../database/errors.js';
import { type Execution, executions } from '../../execution/execution.js';
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

/** Runs the handler of a claimed call, as long as it may go on. */
export class Executor {
  readonly #store: ObservedStore;
  readonly #settler: Committer;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, settler: Committer, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#settler = settler;
    this.#observer = observer;
  }

  /**
   * Answers the call.
   * @param since when the claim was sent, by `performance.now()`
   * @throws Refusal where the reply that another execution stored meanwhile cannot be read: not answered yet
   */
  async execute(
    call: GuardedCall,
    operation: Operation,
    claim: Claim,
    since: number,
  ): Promise<ExecutionOutcome> {
    if (call.gone.aborted) {
      // grpc-js no longer starts a handler for a call that has ended.
      await this.#store.release(claim);
      return { outcome: 'released' };
    }
    const { observed, policy } = call.method;
    this.#observer.executionStarted(observed, claim.takenOver);
    const lost = (error: LeaseLostError) => call.fail(error);
    // An open transaction is itself what the key is held by, from when it was opened.
    const trustedSince = operation.atomicity === 'LEASE' ? since : performance.now();
    const lease = new Lease(this.#store, claim, operation.leaseMs, trustedSince, lost);
    const end = await this.#runHandler(call, operation, claim);
    lease.stop();
    this.#observer.executionEnded(observed);
    this.#reportFailure(call, end);
    return this.#settler.settle({ call, operation, claim, lease }, decide(end, policy));
  }

  async #runHandler(call: GuardedCall, operation: Operation, claim: Claim): Promise<HandlerResult> {
    const { observed, policy } = call.method;
    const stop = new AbortController();
    const execution: Execution = {
      recordId: operation.id,
      caller: call.metadata,
      ...(operation.firstSent && { firstSentMs: operation.firstSent.earliestMs }),
      steps: [],
      begun: new Set(),
      calls: new Map(),
      signal: stop.signal,
      fail: (error) => {
        if (!call.fail(error)) this.#observer.handlerFailed(observed, error);
      },
    };
    const giveUp = (reason: string) => call.fail(new LeaseLostError(reason));
    const expired = () => giveUp(`the execution took more than ${policy.maxExecutionMs} ms`);
    const limit = setTimeout(expired, policy.maxExecutionMs);
    const rolledBack = () => call.fail(asLeaseLost(claim.lost.reason));
    claim.lost.addEventListener('abort', rolledBack);
    try {
      const end = await claim.run(() => executions.run(execution, () => call.execute()));
      if (!('reply' in end)) this.#stopHandler(call, stop, end);
      return end;
    } finally {
      clearTimeout(limit);
      claim.lost.removeEventListener('abort', rolledBack);
    }
  }

  /** The handler may still run, though nothing that it does counts any more. */
  #stopHandler(call: GuardedCall, stop: AbortController, end: HandlerResult): void {
    stop.abort('failure' in end ? end.failure : undefined);
    try {
      call.abandon();
    } catch (error) {
      // Thrown by the handler's own listener: the key is to be given up all the same.
      this.#observer.handlerFailed(call.method.observed, error);
    }
  }

  #reportFailure(call: GuardedCall, end: HandlerResult): void {
    if (!('failure' in end) || end.failure instanceof Refusal || end.failure instanceof LeaseLostError)
      return;
    this.#observer.handlerFailed(call.method.observed, end.failure);
  }
}

function asLeaseLost(reason: unknown): LeaseLostError {
  if (reason instanceof LeaseLostError) return reason;
  return new LeaseLostError('the store ended the unit of work', { cause: reason });
}
