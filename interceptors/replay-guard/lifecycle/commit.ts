import { CommitInDoubtError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import type { Answer, GuardedCall } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { asReplayed, withExpiry } from '../reply/trailers.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import { commitFailureAnswer, type Decision, type Kept, mayRelease, toAnswer } from './decide.js';
import type { StoredReply } from './in-flight.js';
import type { Lease } from './lease.js';
import { look } from './look.js';
import { Wait } from './wait.js';

/** An execution whose handler has ended. */
export interface EndedExecution {
  readonly call: GuardedCall;
  readonly operation: Operation;
  readonly claim: Claim;
  readonly lease: Lease;
}

/** How an execution ended: what it counts as, and the reply that is now stored, if one is. */
export interface ExecutionOutcome {
  readonly outcome: CallOutcome;
  readonly stored?: StoredReply;
}

const never = new AbortController().signal;

/** The least patience with a commit in doubt, in milliseconds: a method whose duplicates do not wait has it too. */
const DOUBT_MS = 1_000;

/** Commits or takes back what an execution did, and answers its call. */
export class Committer {
  readonly #store: ObservedStore;
  readonly #codec: ReplyCodec;
  readonly #observer: ReplayGuardObserver;

  constructor(store: ObservedStore, codec: ReplyCodec, observer: ReplayGuardObserver) {
    this.#store = store;
    this.#codec = codec;
    this.#observer = observer;
  }

  /** @throws Refusal where the reply that another execution stored meanwhile cannot be read */
  async settle(settling: EndedExecution, settlement: Decision): Promise<ExecutionOutcome> {
    if (settlement.kind === 'release') return this.#release(settling, settlement.answer);
    // A process that was stopped for longer than its lease wakes up here, too late to commit anything.
    if (!settling.lease.isHeld) return this.#release(settling, toAnswer(refusals.leaseLost()));
    return this.#keep(settling, settlement);
  }

  async #release({ call, claim }: EndedExecution, answer: Answer): Promise<ExecutionOutcome> {
    await this.#store.release(claim);
    call.answer(answer);
    return { outcome: 'released' };
  }

  async #keep(settling: EndedExecution, settlement: Kept): Promise<ExecutionOutcome> {
    const { call, operation, claim } = settling;
    let reply: Buffer;
    try {
      reply = this.#codec.encode(settlement.reply, operation.id);
    } catch (error) {
      return this.#undo(settling, error);
    }
    try {
      await this.#store[settlement.kind](claim, reply);
    } catch (error) {
      const inDoubt = error instanceof CommitInDoubtError;
      return inDoubt ? this.#reread(settling, reply) : this.#undo(settling, error);
    }
    this.#observer.replyStored(call.method.observed, reply.length);
    call.answer(withExpiry(settlement.reply, claim.expiresAtMs));
    const stored = { recordId: operation.id, reply, expiresAtMs: claim.expiresAtMs };
    return { outcome: 'executed', stored };
  }

  async #undo({ call, claim }: EndedExecution, error: unknown): Promise<ExecutionOutcome> {
    if (mayRelease(error)) await this.#store.release(claim);
    // The store may have ended the unit of work while the handler's answer was on its way.
    call.answer(claim.lost.aborted ? toAnswer(refusals.leaseLost()) : commitFailureAnswer(error));
    return { outcome: 'refused' };
  }

  /**
   * The commit was sent and its answer lost. A reply that is there was committed; one that is not there may
   * still come, so only the caller's patience ends the search, and the claim is never released.
   */
  async #reread({ call, operation }: EndedExecution, reply: Buffer): Promise<ExecutionOutcome> {
    const wait = new Wait(call, never, Math.max(call.method.policy.waitMs, DOUBT_MS));
    for (let attempt = 0; ; attempt++) {
      const seen = await wait.for(look(this.#store, operation).catch(() => undefined));
      const found = seen?.answer;
      if (found?.outcome === 'completed') {
        const answer = found.reply.equals(reply) ? withExpiry : asReplayed;
        call.answer(answer(this.#codec.decode(found.reply, operation.id), found.expiresAtMs));
        return { outcome: 'executed', stored: { ...found, recordId: operation.id } };
      }
      if (!(await wait.pause(attempt))) break;
    }
    call.answer(toAnswer(refusals.outcomeUnknown()));
    return { outcome: 'refused' };
  }
}
