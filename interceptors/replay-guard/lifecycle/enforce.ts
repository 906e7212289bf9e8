import { status } from '@grpc/grpc-js';
import { PRODUCER_HEADER } from '../../protocol/headers.js';
import { isTooFarAhead } from '../../store/first-sent.js';
import type { GuardedCall, Lifecycle } from '../call/guarded-call.js';
import type { CallOutcome, ReplayGuardObserver } from '../observer.js';
import type { Operation, OperationReader } from '../operation/operation.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { asReplayed } from '../reply/trailers.js';
import type { Quotas } from '../store-access/quotas.js';
import { answerable } from './answerable.js';
import { Arrivals, type Place } from './arrivals.js';
import { ClaimError, type Claimer, isReused } from './claim.js';
import { toAnswer } from './decide.js';
import type { Executor } from './execute.js';
import type { InFlightCall, InFlightCalls, InFlightOutcome, StoredReply } from './in-flight.js';
import { Turns } from './turns.js';
import { Wait } from './wait.js';

/** What a coordinator works with. */
export interface EnforceParts {
  readonly operations: OperationReader;
  readonly claimant: Claimer;
  readonly executor: Executor;
  readonly quotas: Quotas;
  readonly codec: ReplyCodec;
  readonly flights: InFlightCalls;
  readonly observer: ReplayGuardObserver;
}

/** Brings the calls of one operation together: one leads it to the store, its duplicates wait for it. */
export class EnforceLifecycle implements Lifecycle {
  readonly #parts: EnforceParts;
  readonly #turns: Turns;
  readonly #arrivals = new Arrivals();
  readonly #places = new WeakMap<GuardedCall, Place>();
  readonly #closing = new AbortController();
  #closed = false;

  constructor(parts: EnforceParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.flights, parts.claimant);
  }

  /** A producer's call has its place from here on: a long request arrives after a short one that was sent later. */
  announce(call: GuardedCall): void {
    const producer = call.metadata.get(PRODUCER_HEADER).join();
    if (!producer) return;
    // Order means something on one connection only.
    const name = `${call.getPeer()} ${call.method.path} ${producer}`;
    this.#places.set(call, this.#arrivals.enter(name, call.gone));
  }

  /** Sees a call through to its answer; never rejects. */
  async serve(call: GuardedCall): Promise<void> {
    const { observer } = this.#parts;
    let outcome: CallOutcome = 'refused';
    try {
      outcome = await this.#handle(call);
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

  /** Sends waiting duplicates away and waits for the running executions; refuses calls from then on. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#parts.flights.dismissWaiters();
    await this.#parts.flights.empty();
    this.#closed = true;
  }

  async #handle(call: GuardedCall): Promise<CallOutcome> {
    if (this.#closed) throw refusals.storeUnavailable();
    const operation = await this.#read(call);
    // It may have taken as long as the guard needed to close.
    if (this.#closed) throw refusals.storeUnavailable();
    if (!operation) {
      call.bypass();
      return 'bypassed';
    }
    const wait = new Wait(call, this.#closing.signal);
    for (;;) {
      const flight = this.#parts.flights.find(operation.id);
      const outcome = flight
        ? await this.#follow(call, operation, flight, wait)
        : await this.#lead(call, operation, wait);
      if (outcome) return outcome;
    }
  }

  /** Not `async`: what awaits this must be next when it resolves. */
  #read(call: GuardedCall): Promise<Operation | undefined> {
    const operation = this.#parts.operations.read(call);
    return this.#places.get(call)?.(operation) ?? operation;
  }

  /** Undefined where the flight ended without a reply, so that the key may be claimed again. */
  async #follow(
    call: GuardedCall,
    operation: Operation,
    flight: InFlightCall,
    wait: Wait,
  ): Promise<CallOutcome | undefined> {
    const inProgress = () => refusals.inProgress(Date.now() - flight.startedAtMs);
    const { flights } = this.#parts;
    // The store, which judges the others, is not asked for this call.
    if (isTooFarAhead(operation, Date.now())) throw refusals.keyExpired();
    if (isReused(operation, flight)) {
      const claimed = await flights.wait(flight, () => wait.for(flight.claimed));
      if (claimed === true) throw refusals.keyReused();
      if (claimed === false) return undefined;
      throw inProgress();
    }
    const end = await flights.wait(flight, () => flight.wait(wait.remainingMs, call.gone));
    if (end === 'left') return 'in_progress';
    if (end === 'waited-enough') throw inProgress();
    if (end) this.#replay(call, end);
    return end && 'joined';
  }

  async #lead(call: GuardedCall, operation: Operation, wait: Wait): Promise<CallOutcome> {
    const { flights, quotas } = this.#parts;
    const flight = flights.start(operation.id, operation.fingerprint);
    let hasPlace = false;
    let stored: InFlightOutcome;
    try {
      if ((await this.#turns.come(call, operation, wait)) === 'left') return 'in_progress';
      hasPlace = quotas.enter(operation.scope);
      const ended = await this.#takeToStore(call, operation, flight, wait, hasPlace);
      stored = ended.stored;
      return ended.outcome;
    } catch (error) {
      if (error instanceof ClaimError) return this.#withoutStore(call);
      flight.isHeldUp = error instanceof Refusal && error.outcome === 'in_progress';
      throw error;
    } finally {
      if (hasPlace) quotas.leave(operation.scope);
      flights.end(operation.id, stored);
    }
  }

  async #takeToStore(
    call: GuardedCall,
    asked: Operation,
    flight: InFlightCall,
    wait: Wait,
    hasPlace: boolean,
  ) {
    const claim = await this.#turns.claim(call, asked, wait, hasPlace);
    if (claim === 'left') return { outcome: 'in_progress' as const };
    const { operation, result, since } = claim;
    if (result.outcome === 'claimed') {
      flight.confirmClaim();
      return this.#parts.executor.execute(call, operation, result.claim, since);
    }
    const found = answerable(result);
    if (isReused(operation, found)) throw refusals.keyReused();
    // An execution whose record its transaction hides is at least as old as the wait for it.
    if (found.outcome === 'in-progress') throw refusals.inProgress(Math.max(found.ageMs, wait.elapsedMs));
    const { reply, expiresAtMs } = found;
    const stored: StoredReply = { recordId: operation.id, reply, expiresAtMs };
    this.#replay(call, stored);
    return { outcome: 'replayed' as const, stored };
  }

  /** The store cannot be asked: the policy says whether the promise or the answer comes first. */
  #withoutStore(call: GuardedCall): CallOutcome {
    if (call.method.policy.onStoreFailure === 'REFUSE') throw refusals.storeUnavailable();
    // Who has left will ask again, and nothing would tell that call of this execution.
    if (call.gone.aborted) return 'released';
    this.#parts.observer.executedUnguarded(call.method.observed);
    call.bypass();
    return 'bypassed';
  }

  #replay(call: GuardedCall, { recordId, reply, expiresAtMs }: StoredReply): void {
    call.answer(asReplayed(this.#parts.codec.decode(reply, recordId), expiresAtMs));
  }
}
