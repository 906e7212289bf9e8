import { isCommitInDoubt } from '../../database/error-kinds.js';
import type { Claim } from '../../store/store.js';
import { type MaybePromise, then, thenOrCatch } from '../../timing/maybe-promise.js';
import type { Answer } from '../call/guarded-call.js';
import type { ReplayGuardObserver } from '../observer.js';
import { refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { addExpiry } from '../reply/trailers.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import { type CallEnd, endByRecord, replayed } from './call-end.js';
import { commitFailureAnswer, type Decision, mayRelease, type StoredResult, toAnswer } from './decide.js';
import type { EndedExecution } from './execute.js';
import { isReused, lookUp } from './look-up.js';
import { Wait } from './wait.js';

/** The minimum time to look for the outcome of a commit in doubt, in milliseconds. Applies even when `waitMs` is 0. */
const MIN_DOUBT_WAIT_MS = 1_000;

/** Commits executions or rolls them back. */
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
   * Ends the claim of an execution according to the decision.
   * @throws Refusal when another execution has the key and its reply cannot answer the call
   */
  end(ended: EndedExecution, decision: Decision): MaybePromise<CallEnd> {
    if (decision.kind === 'release') return this.release(ended.claim, decision.answer);
    // The process may have been stopped for longer than the lease. The execution must then not commit.
    if (!ended.lease.isHeld) return this.release(ended.claim, toAnswer(refusals.leaseLost()));
    return this.#commit(ended, decision);
  }

  /** Rolls the writes back and gives up the key. The call ends with `answer`, if it has not ended before. */
  release(claim: Claim, answer?: Answer): MaybePromise<CallEnd> {
    return then(this.#store.release(claim), () => ({ outcome: 'released', ...(answer && { answer }) }));
  }

  #commit(ended: EndedExecution, result: StoredResult): MaybePromise<CallEnd> {
    const { operation, claim } = ended;
    const { expiresAtMs } = claim;
    let reply: Buffer;
    try {
      // A reply that cannot be stored or sent must fail before the commit.
      reply = this.#codec.encode(result.reply, operation.id, ended.call.trace?.reference());
      addExpiry(result.reply, expiresAtMs);
    } catch (error) {
      return this.#rollBack(ended, error);
    }
    return thenOrCatch(
      () => this.#store[result.kind](claim, reply),
      (other) => {
        // Another execution has taken the key after the rollback. The call is answered as its duplicate.
        if (other) return endByRecord(this.#codec, operation, other);
        this.#observer.replyStored(ended.call.method.observed, reply.length);
        const stored = { recordId: operation.id, reply, expiresAtMs: claim.expiresAtMs };
        // A failure is stored under a new claim, whose retention begins later.
        if (stored.expiresAtMs !== expiresAtMs) addExpiry(result.reply, stored.expiresAtMs);
        return { outcome: 'executed', answer: result.reply, stored };
      },
      (error) => (isCommitInDoubt(error) ? this.#findOutcome(ended, reply) : this.#rollBack(ended, error)),
    );
  }

  async #rollBack({ claim }: EndedExecution, error: unknown): Promise<CallEnd> {
    if (mayRelease(error)) await this.#store.release(claim);
    // The store may have ended the unit of work between the end of the handler and the commit.
    const answer = claim.lost.aborted ? toAnswer(refusals.leaseLost()) : commitFailureAnswer(error);
    return { outcome: 'refused', answer };
  }

  /**
   * Looks for the outcome of a commit whose answer was lost. A stored reply proves the commit. A missing reply proves
   * nothing, because the commit may still happen. The search therefore lasts until the wait is over, and the claim is
   * never released.
   */
  async #findOutcome({ call, claim, operation }: EndedExecution, reply: Buffer): Promise<CallEnd> {
    const wait = new Wait(call, undefined, Math.max(call.method.policy.waitMs, MIN_DOUBT_WAIT_MS));
    for (let attempt = 0; ; attempt++) {
      const found = await wait.resultOf(lookUp(this.#store, operation).catch(() => undefined));
      const answer = found?.answer;
      if (answer?.outcome === 'completed') {
        if (isReused(operation, answer)) throw refusals.keyReused();
        const { expiresAtMs } = answer;
        // Another execution may have stored equal bytes. Its claim has another expiry. A later call of a series changes
        // the expiry, too: then the reply counts as a replay, so that no reply is reported as executed twice.
        const isOwn = answer.reply.equals(reply) && expiresAtMs === claim.expiresAtMs;
        const stored = { recordId: operation.id, reply: answer.reply, expiresAtMs };
        if (!isOwn) return replayed(this.#codec, stored, 'replayed');
        const decoded = this.#codec.decode(answer.reply, operation.id);
        return { outcome: 'executed', answer: addExpiry(decoded, expiresAtMs), stored };
      }
      if (!(await wait.pause(attempt))) break;
    }
    return { outcome: 'refused', answer: toAnswer(refusals.outcomeUnknown()) };
  }
}
