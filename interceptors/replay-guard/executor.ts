import type { HandlerEnd } from './capture.js';
import type { Execution } from './execution.js';
import { executions } from './execution.js';
import type { StoredReply } from './flights.js';
import type { GuardedCall } from './guarded-call.js';
import type { ObservedStore } from './observed-store.js';
import type { CallOutcome, ReplayGuardObserver } from './observer.js';
import { Refusal, refusals } from './refusal.js';
import { encodeReply } from './reply.js';
import { mayRelease, type Settlement, settlementOf, settlingFailure, toAnswer } from './settlement.js';
import type { Claim, ClaimRequest } from './stores/store.js';
import { withExpiry } from './trailers.js';

/** How an execution ended: what it counts as, and the reply that is now stored, if one is. */
export interface Ended {
  readonly outcome: CallOutcome;
  readonly stored?: StoredReply;
}

/** Runs the handler of a claimed call and settles what it did. */
export class Executor {
  readonly #store: ObservedStore;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#observer = observer;
  }

  /** Answers the call; never rejects. */
  async execute(call: GuardedCall, operation: ClaimRequest, claim: Claim): Promise<Ended> {
    if (call.gone.aborted) {
      // grpc-js no longer starts a handler for a call that has ended.
      await this.#store.release(claim);
      return { outcome: 'released' };
    }
    this.#observer.executionStarted(call.method.observed, claim.takenOver);
    const end = await this.#runHandler(call, operation, claim);
    this.#observer.executionEnded(call.method.observed);
    if ('failure' in end && !(end.failure instanceof Refusal)) {
      this.#observer.handlerFailed(call.method.observed, end.failure);
    }
    return this.#settle(call, claim, settlementOf(end, call.method.policy));
  }

  async #runHandler(call: GuardedCall, operation: ClaimRequest, claim: Claim): Promise<HandlerEnd> {
    const { observed } = call.method;
    const execution: Execution = {
      recordId: operation.id,
      calls: new Map(),
      fail: (error) => {
        if (!call.fail(error)) this.#observer.handlerFailed(observed, error);
      },
    };
    const runOut = () => call.fail(refusals.leaseLost());
    const lease = setTimeout(runOut, operation.leaseMs);
    claim.lost.addEventListener('abort', runOut);
    try {
      return await claim.run(() => executions.run(execution, () => call.execute()));
    } finally {
      clearTimeout(lease);
      claim.lost.removeEventListener('abort', runOut);
    }
  }

  async #settle(call: GuardedCall, claim: Claim, settlement: Settlement): Promise<Ended> {
    if (settlement.kind === 'release') {
      await this.#store.release(claim);
      call.answer(settlement.answer);
      return { outcome: 'released' };
    }
    try {
      const reply = encodeReply(settlement.reply);
      await this.#store[settlement.kind](claim, reply);
      this.#observer.replyStored(call.method.observed, reply.length);
      call.answer(withExpiry(settlement.reply, claim.expiresAtMs));
      return { outcome: 'executed', stored: { reply, expiresAtMs: claim.expiresAtMs } };
    } catch (error) {
      if (mayRelease(error)) await this.#store.release(claim);
      // The store may have ended the unit of work while the handler's answer was on its way.
      call.answer(claim.lost.aborted ? toAnswer(refusals.leaseLost()) : settlingFailure(error));
      return { outcome: 'refused' };
    }
  }
}
