import type { Claim } from '../../store/store.js';
import { inTime } from '../../timing/timeout.js';
import type { GuardedCall, Lifecycle } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation, OperationReader } from '../operation/operation.js';
import { Refusal } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import { answerable } from './answerable.js';
import { type ClaimAttempt, type Claimer, isReused } from './claim.js';
import { decide, type Kept } from './decide.js';
import { Lease } from './lease.js';

/** The most that a call is held up by a store, or a scope, that does not answer. */
const HELD_UP_MS = 1_000;

/** What an observer works with. */
export interface ObserveParts {
  readonly operations: OperationReader;
  readonly claimant: Claimer;
  readonly store: ObservedStore;
  readonly codec: ReplyCodec;
  readonly observer: ReplayGuardObserver;
}

/** A claim that the reply of an observed call is recorded under. */
interface Recording {
  readonly operation: Operation;
  readonly claim: Claim;
  /** When the claim was sent, by `performance.now()`. */
  readonly since: number;
}

/** What ENFORCE would have made of a call; with a recording where it would have executed. */
interface Judged {
  readonly wouldBe: CallOutcome;
  readonly recording?: Recording;
}

/**
 * Mode OBSERVE: every call executes as if there were no guard, and its key is recorded beside it, so that what
 * would have become of it can be counted, and ENFORCE has the replies when it is switched on.
 */
export class ObserveLifecycle implements Lifecycle {
  readonly #parts: ObserveParts;
  readonly #serving = new Set<Promise<void>>();
  #closed = false;

  constructor(parts: ObserveParts) {
    this.#parts = parts;
  }

  /** Lets the handler run, whatever the guard makes of the call. */
  async serve(call: GuardedCall): Promise<void> {
    this.#parts.observer.callEnded(call.method.observed, 'bypassed');
    if (this.#closed) return call.bypass();
    const serving = this.#observe(call);
    this.#serving.add(serving);
    try {
      await serving;
    } finally {
      this.#serving.delete(serving);
    }
  }

  /** Waits for the calls whose replies are still to be recorded; from then on calls pass unrecorded. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#serving);
  }

  async #observe(call: GuardedCall): Promise<void> {
    const { wouldBe, recording } = await this.#judgeInTime(call);
    this.#parts.observer.callObserved(call.method.observed, wouldBe);
    if (recording && !call.gone.aborted) return this.#record(call, recording);
    call.bypass();
    if (recording) await this.#parts.store.release(recording.claim);
  }

  async #judgeInTime(call: GuardedCall): Promise<Judged> {
    const tooLate = ({ recording }: Judged) => {
      if (recording) void this.#parts.store.release(recording.claim);
    };
    const expired = () => new Error('it was not known in time');
    try {
      return await inTime(HELD_UP_MS, () => this.#judge(call), expired, tooLate);
    } catch (error) {
      return { wouldBe: error instanceof Refusal ? error.outcome : 'refused' };
    }
  }

  async #judge(call: GuardedCall): Promise<Judged> {
    const { operations, claimant } = this.#parts;
    const read = await operations.read(call);
    if (!read) return { wouldBe: 'bypassed' };
    // The handler's own writes are none of the guard's: only the record is committed, and on its own.
    const asked = await claimant.claim({ ...read, atomicity: 'LEASE' }, async () => false, true);
    const { operation, result, since } = asked;
    if (result.outcome !== 'claimed') return { wouldBe: outcomeOf(asked) };
    return { wouldBe: 'executed', recording: { operation, claim: result.claim, since } };
  }

  /** What cannot be recorded is given up: a store that fails must not touch the call. */
  async #record(call: GuardedCall, { operation, claim, since }: Recording): Promise<void> {
    const { store } = this.#parts;
    const { policy } = call.method;
    const lost = () => call.fail(new Error('no longer recorded'));
    const lease = new Lease(store, claim, operation.leaseMs, since, lost);
    const limit = setTimeout(lost, policy.maxExecutionMs);
    const end = await call.observe();
    clearTimeout(limit);
    lease.stop();
    const settlement = decide(end, policy);
    // A reply that is too large to keep has gone out all the same.
    const isKept = settlement.kind !== 'release' && !('tooLarge' in end);
    const kept = isKept && (await this.#keep(operation, claim, settlement));
    if (!kept) await store.release(claim);
  }

  async #keep(operation: Operation, claim: Claim, { kind, reply }: Kept): Promise<boolean> {
    const { store, codec } = this.#parts;
    try {
      await store[kind](claim, codec.encode(reply, operation.id));
      return true;
    } catch {
      return false;
    }
  }
}

function outcomeOf({ operation, result }: ClaimAttempt): CallOutcome {
  if (result.outcome === 'claimed') return 'executed';
  try {
    const found = answerable(result);
    if (isReused(operation, found)) return 'reused';
    return found.outcome === 'completed' ? 'replayed' : 'in_progress';
  } catch (error) {
    return error instanceof Refusal ? error.outcome : 'refused';
  }
}
