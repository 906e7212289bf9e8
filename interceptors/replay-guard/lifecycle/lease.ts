import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import type { ObservedStore } from '../store-access/observed-store.js';

/** A lease is renewed so often before it runs out, so that one lost answer does not lose it. */
const RENEWALS = 3;

/**
 * The heartbeat of an execution: renews its claim while it runs. What it may still do is judged by the
 * monotonic clock of this process, which goes on while the process is stopped.
 */
export class Lease {
  readonly #store: ObservedStore;
  readonly #claim: Claim;
  readonly #leaseMs: number;
  readonly #onLost: (error: LeaseLostError) => void;
  #trustedUntil = 0;
  #nextBeat: NodeJS.Timeout | undefined;
  #end: NodeJS.Timeout | undefined;
  #stopped = false;

  /**
   * @param since when the claim was sent, by `performance.now()`
   * @param onLost called at most once, when the claim is no longer this execution's
   */
  constructor(
    store: ObservedStore,
    claim: Claim,
    leaseMs: number,
    since: number,
    onLost: (error: LeaseLostError) => void,
  ) {
    this.#store = store;
    this.#claim = claim;
    this.#leaseMs = leaseMs;
    this.#onLost = onLost;
    this.#trustSince(since);
    this.#beatLater();
  }

  /** Whether this execution may still commit. */
  get isHeld(): boolean {
    return performance.now() < this.#trustedUntil;
  }

  /** To be called when the execution has ended. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#nextBeat);
    clearTimeout(this.#end);
  }

  /** The end comes by a timer of its own: a store that never answers must not keep it from coming. */
  #trustSince(sent: number): void {
    this.#trustedUntil = sent + this.#leaseMs;
    const tooLate = () => this.#lose(new LeaseLostError('the execution was not renewed in time'));
    clearTimeout(this.#end);
    this.#end = setTimeout(tooLate, this.#trustedUntil - performance.now());
  }

  #beatLater(): void {
    this.#nextBeat = setTimeout(() => void this.#beat(), this.#leaseMs / RENEWALS);
  }

  async #beat(): Promise<void> {
    const sent = performance.now();
    // After a long stop the timers come in any order: what ran out meanwhile is not to be renewed.
    if (!this.isHeld) return;
    try {
      await this.#store.renew(this.#claim);
      if (!this.#stopped) this.#trustSince(sent);
    } catch (error) {
      if (error instanceof LeaseLostError) this.#lose(error);
      // A store that does not answer now may answer the next time, while the lease lasts.
    }
    if (!this.#stopped) this.#beatLater();
  }

  #lose(error: LeaseLostError): void {
    if (this.#stopped) return;
    this.stop();
    this.#trustedUntil = 0;
    this.#onLost(error);
  }
}
