import { isLeaseLost } from '../../database/error-kinds.js';
import { LeaseLostError } from '../../database/errors.js';
import { currentExecution, type Execution } from '../../execution/execution.js';
import type { Claim } from '../../store/store.js';
import { type Deadline, deadlines } from '../../timing/deadlines.js';
import { LazySignal } from '../../timing/lazy-signal.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { GuardedCall } from '../call/guarded-call.js';
import type { HandlerResult } from '../call/reply-capture.js';
import type { ObservedGuard, ObservedMethod, ReplayGuardObserver } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import { failureOf } from './decide.js';
import { Lease } from './lease.js';

/** An execution whose handler has ended. The claim is still open. */
export interface EndedExecution {
  readonly call: GuardedCall;
  readonly operation: Operation;
  readonly claim: Claim;
  readonly lease: Lease;
  readonly result: HandlerResult;
}

/** An execution whose handler has started. */
export interface RunningExecution extends Omit<EndedExecution, 'result'> {
  /** When the handler started, by `performance.now()`. */
  readonly startedAt: number;
  /** The time limit of the execution. */
  readonly limit: Deadline;
  /** Aborted when the execution ends before its handler. */
  readonly stopped: LazySignal;
  /** How the handler ends. The value is there at once if the handler has answered synchronously. */
  readonly result: MaybePromise<HandlerResult>;
}

/** The executions of one guard whose handlers run, for observers. It has no reference to the store of the guard. */
class RunningExecutions {
  /** In the order of their starts. */
  readonly #running = new Set<RunningExecution>();

  add(execution: RunningExecution): void {
    this.#running.add(execution);
  }

  delete(execution: RunningExecution): void {
    this.#running.delete(execution);
  }

  /** Computes `ObservedGuard.oldestExecutions`. */
  oldest(): ReturnType<ObservedGuard['oldestExecutions']> {
    const now = performance.now();
    const ages = new Map<ObservedMethod, number>();
    for (const { call, startedAt } of this.#running) {
      const { observed } = call.method;
      if (!ages.has(observed)) ages.set(observed, (now - startedAt) / 1_000);
    }
    return ages;
  }
}

const noSteps: readonly string[] = [];

/** Runs the handlers of claimed calls while their leases are held. */
export class Executor {
  /** The executions whose handlers run. */
  readonly running = new RunningExecutions();
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  /**
   * Starts the handler of a call in the unit of work of its claim. A loss of the lease, the time limit of the execution
   * and an error of the handler end the execution as failed.
   * @param sentAt when the claim was sent, by `performance.now()`
   */
  start(call: GuardedCall, operation: Operation, claim: Claim, sentAt: number): RunningExecution {
    const { observed, policy } = call.method;
    this.#observer.executionStarted(observed, claim.takenOver);
    call.trace?.executionStarted(claim.takenOver);
    // With atomicity TRANSACTION, the open transaction holds the claim, so the duration of the claim does not count.
    const startedAt = performance.now();
    const heldSince = operation.atomicity === 'LEASE' ? sentAt : startedAt;
    const lose = (reason: Error) => void call.fail(asLeaseLost(reason));
    const lease = new Lease(this.#store, claim, operation.leaseMs, heldSince, lose);
    const limit = deadlines.set(policy.maxExecutionMs, () =>
      lose(new LeaseLostError(`the execution exceeded its limit of ${policy.maxExecutionMs} ms`)),
    );
    const execution = this.#executionOf(call, operation);
    let result: MaybePromise<HandlerResult>;
    try {
      result = claim.run(
        () => currentExecution.run(execution, () => call.execute()),
        lose,
        (error) => this.#observer.afterCommitFailed(observed, error),
      );
    } catch (failure) {
      result = { failure };
    }
    const { stopped } = execution;
    const running = { call, operation, claim, lease, startedAt, limit, stopped, result };
    this.running.add(running);
    return running;
  }

  /** Ends the limits of an execution whose handler has ended, and reports its failure. */
  end(running: RunningExecution, result: HandlerResult): EndedExecution {
    const { call, operation, claim, lease } = running;
    this.running.delete(running);
    running.limit.cancel();
    lease.stop();
    if (!('reply' in result)) this.#stopHandler(call, running.stopped, result);
    this.#observer.executionEnded(call.method.observed, (performance.now() - running.startedAt) / 1_000);
    const failed = failureOf(result, claim.failure);
    if (failed) this.#observer.handlerFailed(call.method.observed, failed.failure);
    return { call, operation, claim, lease, result };
  }

  #executionOf(call: GuardedCall, { id, firstSent }: Operation): Execution {
    return {
      recordId: id,
      callerMetadata: call.metadata,
      ...(firstSent && { firstSentMs: firstSent.earliestMs }),
      steps: noSteps,
      progress: {},
      stopped: new LazySignal(),
      fail: (error) => {
        if (!call.fail(error)) this.#observer.handlerFailed(call.method.observed, error);
      },
    };
  }

  /** Signals the end of the execution to a handler that may still run. */
  #stopHandler(call: GuardedCall, stopped: LazySignal, result: HandlerResult): void {
    stopped.abort('failure' in result ? result.failure : undefined);
    try {
      call.cancelHandler();
    } catch (error) {
      // A listener of the handler threw. The key must still be released.
      this.#observer.handlerFailed(call.method.observed, error);
    }
  }
}

function asLeaseLost(reason: Error): LeaseLostError {
  if (isLeaseLost(reason)) return reason;
  return new LeaseLostError('the store ended the unit of work', { cause: reason });
}
