import type { GuardedCall } from '../call/guarded-call.js';
import type { ReplayGuardObserver } from '../observer.js';
import { refusals } from '../refusal/refusal.js';
import type { Quotas } from '../store-access/quotas.js';

/** How many calls may wait at the same time. */
export interface WaiterLimits {
  /** The limit of the duplicates of one key. */
  readonly perKey: number;
  /** The limit of the calls of one scope. */
  readonly perScope: number;
  /** The limit of all calls. */
  readonly total: number;
}

/** An operation for whose execution calls wait. */
export interface WaitedFor {
  /** How many calls wait at present. `Waiters` updates this count. */
  waiting: number;
  /** How long the execution has been running, in milliseconds. */
  readonly ageMs: number;
}

/**
 * Counts the calls that wait for other executions: of the same key, at another server, or of an earlier sequence. The
 * limit of a scope leaves room for the calls of other callers.
 */
export class Waiters {
  readonly #limits: WaiterLimits;
  readonly #quotas: Quotas;
  readonly #observer: ReplayGuardObserver;
  readonly #byScope = new Map<string, number>();
  #total = 0;

  constructor(limits: WaiterLimits, quotas: Quotas, observer: ReplayGuardObserver) {
    this.#limits = limits;
    this.#quotas = quotas;
    this.#observer = observer;
  }

  /**
   * Runs the wait of one call and counts the call during the wait. An exempt call does not count in its scope.
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS when a limit is reached
   */
  async wait<T>(call: GuardedCall, scope: string, awaited: WaitedFor, until: () => Promise<T>): Promise<T> {
    const leave = this.enter(call, scope, awaited);
    try {
      return await until();
    } finally {
      leave();
    }
  }

  /**
   * Counts a call that begins to wait. An exempt call does not count in its scope.
   * @returns ends the wait. Must be called once.
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS when a limit is reached
   */
  enter(call: GuardedCall, scope: string, awaited: WaitedFor): () => void {
    const { perKey, perScope, total } = this.#limits;
    if (awaited.waiting >= perKey || this.#total >= total) throw refusals.tooManyWaiting(awaited.ageMs);
    const ofScope = this.#byScope.get(scope) ?? 0;
    const isCounted = !this.#quotas.isExempt(call);
    if (isCounted && ofScope >= perScope)
      throw refusals.inProgress(awaited.ageMs, { quota: 'waiting', limit: perScope });
    if (isCounted) this.#byScope.set(scope, ofScope + 1);
    awaited.waiting++;
    this.#total++;
    const startedAt = performance.now();
    this.#observer.waitStarted(call.method.observed);
    return () => {
      const seconds = (performance.now() - startedAt) / 1_000;
      this.#observer.waitEnded(call.method.observed, seconds);
      call.trace?.waitEnded(seconds);
      this.#total--;
      awaited.waiting--;
      if (isCounted) this.#leave(scope);
    };
  }

  #leave(scope: string): void {
    const remaining = (this.#byScope.get(scope) ?? 0) - 1;
    if (remaining > 0) this.#byScope.set(scope, remaining);
    else this.#byScope.delete(scope);
  }
}
