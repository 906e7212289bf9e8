import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { Executor } from './executor.js';
import { type FlightOutcome, Flights, type StoredReply } from './flights.js';
import type { GuardedCall } from './guarded-call.js';
import type { ObservedStore } from './observed-store.js';
import type { CallOutcome, ReplayGuardObserver } from './observer.js';
import type { OperationReader } from './operation.js';
import { Refusal, refusals } from './refusal.js';
import { decodeReply, type Reply } from './reply.js';
import { toAnswer } from './settlement.js';
import type { ClaimRequest, ClaimResult } from './stores/store.js';
import { asReplayed } from './trailers.js';

/** Brings the calls of one operation together: one leads it to the store, its duplicates wait for it. */
export class Coordinator {
  readonly #operations: OperationReader;
  readonly #store: ObservedStore;
  readonly #executor: Executor;
  readonly #observer: ReplayGuardObserver;
  readonly #flights = new Flights();
  #closing = false;

  constructor(
    operations: OperationReader,
    store: ObservedStore,
    executor: Executor,
    observer: ReplayGuardObserver,
  ) {
    this.#operations = operations;
    this.#store = store;
    this.#executor = executor;
    this.#observer = observer;
  }

  /** Sees a call through to its answer; never rejects. */
  async serve(call: GuardedCall): Promise<void> {
    let outcome: CallOutcome = 'refused';
    try {
      outcome = await this.#handle(call);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : undefined;
      if (!refusal) this.#observer.handlerFailed(call.method.observed, error);
      outcome = refusal?.outcome ?? 'refused';
      call.answer(
        refusal ? toAnswer(refusal) : { code: status.INTERNAL, details: 'the call could not be served' },
      );
    }
    this.#observer.callEnded(call.method.observed, outcome);
  }

  /** Sends waiting duplicates away and waits for the running executions. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#flights.dismissWaiters();
    await this.#flights.empty();
  }

  async #handle(call: GuardedCall): Promise<CallOutcome> {
    const operation = await this.#operations.read(call);
    if (!operation) {
      call.bypass();
      return 'bypassed';
    }
    const waitUntil = performance.now() + Math.min(call.method.policy.waitMs, call.remainingMs);
    for (;;) {
      const outcome = this.#flights.find(operation.id)
        ? await this.#follow(call, operation, waitUntil)
        : await this.#lead(call, operation, waitUntil);
      if (outcome) return outcome;
    }
  }

  /** Undefined where the flight ended without a reply, so that the key may be claimed again. */
  async #follow(
    call: GuardedCall,
    operation: ClaimRequest,
    waitUntil: number,
  ): Promise<CallOutcome | undefined> {
    const flight = this.#flights.find(operation.id);
    if (!flight) return undefined;
    if (!flight.fingerprint.equals(operation.fingerprint)) {
      if (await flight.claimed) throw refusals.keyReused();
      return undefined;
    }
    const end = await flight.wait(this.#remaining(waitUntil), call.gone);
    if (end === 'left') return 'in_progress';
    if (end === 'waited-enough') throw refusals.inProgress(Date.now() - flight.startedAtMs);
    if (end) this.#replay(call, end);
    return end && 'joined';
  }

  async #lead(call: GuardedCall, operation: ClaimRequest, waitUntil: number): Promise<CallOutcome> {
    const flight = this.#flights.start(operation.id, operation.fingerprint);
    let stored: FlightOutcome;
    try {
      const result = await this.#claim(call, operation, waitUntil);
      if (result.outcome === 'claimed') {
        flight.confirmClaim();
        const ended = await this.#executor.execute(call, operation, result.claim);
        stored = ended.stored;
        return ended.outcome;
      }
      if (result.fingerprint && !result.fingerprint.equals(operation.fingerprint)) throw refusals.keyReused();
      if (result.outcome === 'in-progress') throw refusals.inProgress(result.ageMs);
      stored = { reply: result.reply, expiresAtMs: result.expiresAtMs };
      this.#replay(call, stored);
      return 'replayed';
    } finally {
      this.#flights.end(operation.id, stored);
    }
  }

  /** Claims the key, asking again while another server is executing and the wait lasts. */
  async #claim(call: GuardedCall, operation: ClaimRequest, waitUntil: number): Promise<ClaimResult> {
    for (let attempt = 0; ; attempt++) {
      const result = await this.#store.claim(operation).catch(() => {
        throw refusals.storeUnavailable();
      });
      if (result.outcome !== 'in-progress') return result;
      const isOther = result.fingerprint && !result.fingerprint.equals(operation.fingerprint);
      const pauseMs = Math.min(pollMs(attempt), this.#remaining(waitUntil));
      if (isOther || pauseMs <= 0 || call.gone.aborted) return result;
      await delay(pauseMs, undefined, { signal: call.gone }).catch(() => {});
    }
  }

  #remaining(waitUntil: number): number {
    return this.#closing ? 0 : waitUntil - performance.now();
  }

  #replay(call: GuardedCall, stored: StoredReply): void {
    call.answer(asReplayed(readable(stored.reply), stored.expiresAtMs));
  }
}

function readable(stored: Buffer): Reply {
  try {
    return decodeReply(stored);
  } catch {
    throw refusals.replyUnreadable();
  }
}

/** From 10 ms, doubling up to 250 ms, with jitter so that servers do not ask in step. */
function pollMs(attempt: number): number {
  return Math.min(10 * 2 ** attempt, 250) * (0.5 + Math.random() / 2);
}
