import { status } from '@grpc/grpc-js';
import { isTooFarAhead } from '../../store/first-sent.js';
import type { GuardedCall, Lifecycle } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation, OperationReader } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { asReplayed } from '../reply/trailers.js';
import type { Quotas } from '../store-access/quotas.js';
import { ClaimError, type Claimer, foundOrRefuse, isReused } from './claim.js';
import type { ExecutionOutcome } from './commit.js';
import { toAnswer } from './decide.js';
import type { Executor } from './execute.js';
import type { InFlightCall, InFlightCalls, InFlightOutcome, StoredReply } from './in-flight.js';
import { ProducerOrder } from './producer-order.js';
import { Wait } from './wait.js';

/** The collaborators of `EnforceLifecycle`. */
export interface EnforceParts {
  readonly operations: OperationReader;
  readonly claimer: Claimer;
  readonly executor: Executor;
  readonly quotas: Quotas;
  readonly codec: ReplyCodec;
  readonly inFlight: InFlightCalls;
  readonly observer: ReplayGuardObserver;
}

/**
 * Mode ENFORCE: each operation executes once. The first call of an operation in this process claims and executes the
 * operation. Its duplicates wait for the first call and receive the same reply.
 */
export class EnforceLifecycle implements Lifecycle {
  readonly #parts: EnforceParts;
  readonly #order: ProducerOrder;
  readonly #closing = new AbortController();
  #isClosed = false;

  constructor(parts: EnforceParts) {
    this.#parts = parts;
    this.#order = new ProducerOrder(parts.inFlight, parts.claimer);
  }

  onMetadata(call: GuardedCall): void {
    this.#order.register(call);
  }

  /** Processes a call and answers it. Never rejects. */
  async handle(call: GuardedCall): Promise<void> {
    const { observer } = this.#parts;
    let outcome: CallOutcome = 'refused';
    try {
      outcome = await this.#process(call);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : undefined;
      if (!refusal) observer.handlerFailed(call.method.observed, error);
      outcome = refusal?.outcome ?? 'refused';
      call.answer(
        refusal ? toAnswer(refusal) : { code: status.INTERNAL, details: 'the call could not be served' },
      );
    }
    observer.callEnded(call.method.observed, outcome);
  }

  /** Refuses the waiting duplicates and resolves when the running executions have ended. Later calls are refused. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#parts.inFlight.endWaits();
    await this.#parts.inFlight.empty();
    this.#isClosed = true;
  }

  async #process(call: GuardedCall): Promise<CallOutcome> {
    if (this.#isClosed) throw refusals.storeUnavailable();
    const operation = await this.#read(call);
    // The guard may have closed while the operation was read.
    if (this.#isClosed) throw refusals.storeUnavailable();
    if (!operation) {
      call.bypass();
      return 'bypassed';
    }
    const wait = new Wait(call, this.#closing.signal);
    for (;;) {
      const first = this.#parts.inFlight.find(operation.id);
      const outcome = first
        ? await this.#join(call, operation, first, wait)
        : await this.#lead(call, operation, wait);
      if (outcome) return outcome;
    }
  }

  /**
   * Not `async`, which would add a delay. The code that awaits this promise must continue before later calls of the
   * producer.
   */
  #read(call: GuardedCall): Promise<Operation | undefined> {
    return this.#order.read(call, this.#parts.operations.read(call));
  }

  /**
   * Waits for the first call. Resolves to undefined when the first call ended without a reply. The key may then be
   * claimed.
   */
  async #join(
    call: GuardedCall,
    operation: Operation,
    first: InFlightCall,
    wait: Wait,
  ): Promise<CallOutcome | undefined> {
    const inProgress = () => refusals.inProgress(Date.now() - first.startedAtMs);
    const { inFlight } = this.#parts;
    // This call does not claim, so the store does not check its first-sent time.
    if (isTooFarAhead(operation, Date.now())) throw refusals.keyExpired();
    if (isReused(operation, first)) {
      const claimed = await inFlight.wait(first, () => wait.resultOf(first.claimed));
      if (claimed === true) throw refusals.keyReused();
      if (claimed === false) return undefined;
      throw inProgress();
    }
    const end = await inFlight.wait(first, () => first.wait(wait.remainingMs, call.ended));
    if (end === 'call-ended') return 'in_progress';
    if (end === 'timeout') throw inProgress();
    if (end) this.#replay(call, end);
    return end && 'joined';
  }

  /** Claims and executes the operation as its first call in this process. */
  async #lead(call: GuardedCall, operation: Operation, wait: Wait): Promise<CallOutcome> {
    const { inFlight, quotas } = this.#parts;
    const own = inFlight.start(operation.id, operation.fingerprint);
    let hasSlot = false;
    let stored: InFlightOutcome;
    try {
      if ((await this.#order.waitForPrevious(call, operation, wait)) === 'call-ended') return 'in_progress';
      hasSlot = quotas.takeSlot(operation.scope);
      const end = await this.#claimAndExecute(call, operation, own, wait, hasSlot);
      stored = end.stored;
      return end.outcome;
    } catch (error) {
      if (error instanceof ClaimError) return this.#withoutStore(call);
      own.isRefusedInProgress = error instanceof Refusal && error.outcome === 'in_progress';
      throw error;
    } finally {
      if (hasSlot) quotas.returnSlot(operation.scope);
      inFlight.end(operation.id, stored);
    }
  }

  async #claimAndExecute(
    call: GuardedCall,
    requested: Operation,
    own: InFlightCall,
    wait: Wait,
    hasSlot: boolean,
  ): Promise<ExecutionOutcome> {
    const attempt = await this.#order.claim(call, requested, wait, hasSlot);
    if (attempt === 'call-ended') return { outcome: 'in_progress' };
    const { operation, result, sentAt } = attempt;
    if (result.outcome === 'claimed') {
      own.confirmClaim();
      return this.#parts.executor.execute(call, operation, result.claim, sentAt);
    }
    const found = foundOrRefuse(result);
    if (isReused(operation, found)) throw refusals.keyReused();
    // An open transaction can hide the age of its record. The execution is at least as old as the wait of this call.
    if (found.outcome === 'in-progress') throw refusals.inProgress(Math.max(found.ageMs, wait.elapsedMs));
    const { reply, expiresAtMs } = found;
    const stored: StoredReply = { recordId: operation.id, reply, expiresAtMs };
    this.#replay(call, stored);
    return { outcome: 'replayed', stored };
  }

  /** The store is unavailable. The policy of the method decides whether the call is refused or runs unguarded. */
  #withoutStore(call: GuardedCall): CallOutcome {
    if (call.method.policy.onStoreFailure === 'REFUSE') throw refusals.storeUnavailable();
    // A disconnected client will retry. The retry would execute again, because an unguarded execution stores no
    // record.
    if (call.ended.aborted) return 'released';
    this.#parts.observer.executedUnguarded(call.method.observed);
    call.bypass();
    return 'bypassed';
  }

  #replay(call: GuardedCall, { recordId, reply, expiresAtMs }: StoredReply): void {
    call.answer(asReplayed(this.#parts.codec.decode(reply, recordId), expiresAtMs));
  }
}
