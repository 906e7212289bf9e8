import { CommitInDoubtError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import type { Answer, GuardedCall } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { asReplayed, withExpiry } from '../reply/trailers.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import { lookUp } from './claim.js';
import { commitFailureAnswer, type Decision, mayRelease, type StoredResult, toAnswer } from './decide.js';
import type { StoredReply } from './in-flight.js';
import type { Lease } from './lease.js';
import { Wait } from './wait.js';

/** An execution whose handler has ended. */
export interface EndedExecution {
  readonly call: GuardedCall;
  readonly operation: Operation;
  readonly claim: Claim;
  readonly lease: Lease;
}

/** How an execution ended. */
export interface ExecutionOutcome {
  /** The outcome that observers receive for the call. */
  readonly outcome: CallOutcome;
  /** The reply that the store now has. Absent when the store has no reply of the operation. */
  readonly stored?: StoredReply;
}

const neverAborted = new AbortController().signal;

/** The minimum time to look for the outcome of a commit in doubt, in milliseconds. Applies even when `waitMs` is 0. */
const MIN_DOUBT_WAIT_MS = 1_000;

/** Commits or rolls back an execution, and answers its call. */
export class Committer {
  readonly #store: ObservedStore;
  readonly #codec: ReplyCodec;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, codec: ReplyCodec, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#codec = codec;
    this.#observer = observer;
  }

  /**
   * Ends the claim of an execution according to the decision, and answers the call.
   * @throws Refusal when another execution has stored a reply that cannot be read
   */
  async end(ended: EndedExecution, decision: Decision): Promise<ExecutionOutcome> {
    if (decision.kind === 'release') return this.#release(ended, decision.answer);
    // The process may have been stopped for longer than the lease. The execution must then not commit.
    if (!ended.lease.isHeld) return this.#release(ended, toAnswer(refusals.leaseLost()));
    return this.#commit(ended, decision);
  }

  async #release({ call, claim }: EndedExecution, answer: Answer): Promise<ExecutionOutcome> {
    await this.#store.release(claim);
    call.answer(answer);
    return { outcome: 'released' };
  }

  async #commit(ended: EndedExecution, result: StoredResult): Promise<ExecutionOutcome> {
    const { call, operation, claim } = ended;
    let reply: Buffer;
    try {
      reply = this.#codec.encode(result.reply, operation.id);
    } catch (error) {
      return this.#rollBack(ended, error);
    }
    try {
      await this.#store[result.kind](claim, reply);
    } catch (error) {
      const inDoubt = error instanceof CommitInDoubtError;
      return inDoubt ? this.#findOutcome(ended, reply) : this.#rollBack(ended, error);
    }
    this.#observer.replyStored(call.method.observed, reply.length);
    call.answer(withExpiry(result.reply, claim.expiresAtMs));
    const stored = { recordId: operation.id, reply, expiresAtMs: claim.expiresAtMs };
    return { outcome: 'executed', stored };
  }

  async #rollBack({ call, claim }: EndedExecution, error: unknown): Promise<ExecutionOutcome> {
    if (mayRelease(error)) await this.#store.release(claim);
    // The store may have ended the unit of work between the end of the handler and the commit.
    call.answer(claim.lost.aborted ? toAnswer(refusals.leaseLost()) : commitFailureAnswer(error));
    return { outcome: 'refused' };
  }

  /**
   * Looks for the outcome of a commit whose answer was lost. A stored reply proves the commit. A missing reply proves
   * nothing, because the commit may still happen. The search therefore lasts until the wait is over, and the claim is
   * never released.
   */
  async #findOutcome({ call, operation }: EndedExecution, reply: Buffer): Promise<ExecutionOutcome> {
    const wait = new Wait(call, neverAborted, Math.max(call.method.policy.waitMs, MIN_DOUBT_WAIT_MS));
    for (let attempt = 0; ; attempt++) {
      const found = await wait.resultOf(lookUp(this.#store, operation).catch(() => undefined));
      const answer = found?.answer;
      if (answer?.outcome === 'completed') {
        const isOwn = answer.reply.equals(reply);
        const stored = this.#codec.decode(answer.reply, operation.id);
        call.answer((isOwn ? withExpiry : asReplayed)(stored, answer.expiresAtMs));
        return { outcome: 'executed', stored: { ...answer, recordId: operation.id } };
      }
      if (!(await wait.pause(attempt))) break;
    }
    call.answer(toAnswer(refusals.outcomeUnknown()));
    return { outcome: 'refused' };
  }
}
