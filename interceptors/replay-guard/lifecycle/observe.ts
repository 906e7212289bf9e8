import type { Claim } from '../../store/store.js';
import { deadlines } from '../../timing/deadlines.js';
import { within } from '../../timing/timeout.js';
import type { GuardedCall, Lifecycle } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation, OperationReader } from '../operation/operation.js';
import { Refusal } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import type { ObservedStore } from '../store-access/observed-store.js';
import type { ClaimAttempt, Claimer, Pause } from './claim.js';
import { type ClosedGuard, endsWithin, ROLLBACK_MS } from './closing.js';
import { decide, type StoredResult } from './decide.js';
import { Lease } from './lease.js';
import { foundOrRefuse, isReused } from './look-up.js';

/** How long a store or a scope source that does not answer can delay a call, in milliseconds. */
const MAX_DELAY_MS = 1_000;

/** An observed call waits for no other execution. */
const noPause: Pause = { before: async () => false, end: () => {} };

/** The collaborators of `ObserveLifecycle`. */
export interface ObserveParts {
  readonly operations: OperationReader;
  readonly claimer: Claimer;
  readonly store: ObservedStore;
  readonly codec: ReplyCodec;
  readonly observer: ReplayGuardObserver;
}

/** A claim under which the reply of an observed call is stored. */
interface Recording {
  readonly operation: Operation;
  readonly claim: Claim;
  /** When the claim was sent, by `performance.now()`. */
  readonly sentAt: number;
}

/** The outcome that a call would have in mode ENFORCE. */
interface Classification {
  readonly wouldBe: CallOutcome;
  /** Present when ENFORCE would execute the call. */
  readonly recording?: Recording;
}

/**
 * Mode OBSERVE: every call executes, as without a guard. The guard classifies each call, reports the outcome that
 * ENFORCE would give, and stores the reply. After a switch to ENFORCE the stored replies are replayed.
 */
export class ObserveLifecycle implements Lifecycle {
  readonly #parts: ObserveParts;
  /** The calls that are being observed. */
  readonly #handling = new Map<Promise<void>, GuardedCall>();
  #isClosed = false;

  constructor(parts: ObserveParts) {
    this.#parts = parts;
  }

  /** Runs the handler and stores its reply. A failure of the guard does not change the call. */
  async handle(call: GuardedCall): Promise<void> {
    this.#parts.observer.callEnded(call.method.observed, 'bypassed');
    if (this.#isClosed) return call.bypass();
    const handling = this.#observe(call);
    this.#handling.set(handling, call);
    try {
      await handling;
    } finally {
      this.#handling.delete(handling);
    }
  }

  /**
   * Resolves when the replies of all running calls are stored, at the latest `ROLLBACK_MS` after the time limit. Calls
   * that still run at the time limit are no longer recorded. Later calls run unobserved.
   */
  async close(timeoutMs: number): Promise<ClosedGuard> {
    this.#isClosed = true;
    const ended = Promise.allSettled(this.#handling.keys());
    if (!(await endsWithin(ended, timeoutMs))) {
      for (const call of this.#handling.values()) call.fail(new Error('the guard was closed'));
      await endsWithin(ended, ROLLBACK_MS);
    }
    return { stopped: 0, unfinished: this.#handling.size };
  }

  async #observe(call: GuardedCall): Promise<void> {
    const { wouldBe, recording } = await this.#classifyInTime(call);
    this.#parts.observer.callObserved(call.method.observed, wouldBe);
    call.trace?.observed(wouldBe);
    if (recording && !call.ended.isAborted) return this.#record(call, recording);
    call.bypass();
    if (recording) await this.#parts.store.release(recording.claim);
  }

  async #classifyInTime(call: GuardedCall): Promise<Classification> {
    const late = ({ recording }: Classification) => {
      if (recording) void this.#parts.store.release(recording.claim);
    };
    const otherwise = (): Classification => ({ wouldBe: 'refused' });
    try {
      return await within(this.#classify(call), { ms: MAX_DELAY_MS, otherwise, late });
    } catch (error) {
      return { wouldBe: error instanceof Refusal ? error.outcome : 'refused' };
    }
  }

  async #classify(call: GuardedCall): Promise<Classification> {
    const { operations, claimer } = this.#parts;
    const operation = await operations.read(call);
    if (!operation) return { wouldBe: 'bypassed' };
    // The guard commits the record only, so the record needs no transaction with the writes of the handler.
    const attempt = await claimer.claim({ ...operation, atomicity: 'LEASE' }, noPause, 'taken');
    const { result, sentAt } = attempt;
    if (result.outcome !== 'claimed') return { wouldBe: outcomeOf(attempt) };
    return { wouldBe: 'executed', recording: { operation: attempt.operation, claim: result.claim, sentAt } };
  }

  /**
   * Runs the handler and stores its reply. A reply that cannot be stored is dropped, because a failure of the store
   * must not change the call.
   */
  async #record(call: GuardedCall, { operation, claim, sentAt }: Recording): Promise<void> {
    const { store } = this.#parts;
    const { policy } = call.method;
    const stopRecording = () => call.fail(new Error('the call is no longer recorded'));
    const lease = new Lease(store, claim, operation.leaseMs, sentAt, stopRecording);
    const limit = deadlines.set(policy.maxExecutionMs, stopRecording);
    const result = await call.observe();
    limit.cancel();
    lease.stop();
    const decision = decide(result, policy, claim);
    // ENFORCE would store a refusal for a reply that is too large. Here the client has the reply, so nothing is
    // stored.
    const mayStore = decision.kind !== 'release' && !('tooLarge' in result);
    const isStored = mayStore && (await this.#store(operation, claim, decision, call.trace?.reference()));
    if (!isStored) await store.release(claim);
  }

  /** Resolves to whether the reply is stored. Another execution may have taken the key. */
  async #store(
    operation: Operation,
    claim: Claim,
    { kind, reply }: StoredResult,
    execution: Buffer | undefined,
  ): Promise<boolean> {
    const { store, codec } = this.#parts;
    try {
      const encoded = codec.encode(reply, operation.id, execution);
      if (kind === 'fail') return (await store.fail(claim, encoded)) === undefined;
      await store.complete(claim, encoded);
      return true;
    } catch {
      return false;
    }
  }
}

function outcomeOf({ operation, result }: ClaimAttempt): CallOutcome {
  if (result.outcome === 'claimed') return 'executed';
  try {
    const found = foundOrRefuse(result);
    if (isReused(operation, found)) return 'reused';
    return found.outcome === 'completed' ? 'replayed' : 'in_progress';
  } catch (error) {
    return error instanceof Refusal ? error.outcome : 'refused';
  }
}
