import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import type { ObservedStore } from '../store-access/observed-store.js';

/** The number of heartbeats in one lease. With three, a single failed heartbeat does not lose the lease. */
const HEARTBEATS_PER_LEASE = 3;

/**
 * The lease of an execution. A heartbeat renews the claim while the execution runs. The monotonic clock of this
 * process measures the lease, because this clock continues while the process is stopped.
 */
export class Lease {
  readonly #store: ObservedStore;
  readonly #claim: Claim;
  readonly #leaseMs: number;
  readonly #onLost: (error: LeaseLostError) => void;
  #heldUntil = 0;
  #nextHeartbeat: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #isStopped = false;

  /**
   * @param leaseMs the length of the lease, in milliseconds
   * @param sentAt when the claim was sent, by `performance.now()`
   * @param onLost runs at most once, when the execution no longer holds the claim
   */
  constructor(
    store: ObservedStore,
    claim: Claim,
    leaseMs: number,
    sentAt: number,
    onLost: (error: LeaseLostError) => void,
  ) {
    this.#store = store;
    this.#claim = claim;
    this.#leaseMs = leaseMs;
    this.#onLost = onLost;
    this.#extendFrom(sentAt);
    this.#scheduleHeartbeat();
  }

  /** Whether the execution may still commit. */
  get isHeld(): boolean {
    return performance.now() < this.#heldUntil;
  }

  /** Ends the heartbeat. The execution calls this method when its handler has ended. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#nextHeartbeat);
    clearTimeout(this.#expiry);
  }

  /** The expiry has its own timer, so the lease also expires when the store never answers a heartbeat. */
  #extendFrom(sentAt: number): void {
    this.#heldUntil = sentAt + this.#leaseMs;
    const onExpired = () => this.#lose(new LeaseLostError('the lease was not renewed in time'));
    clearTimeout(this.#expiry);
    this.#expiry = setTimeout(onExpired, this.#heldUntil - performance.now());
  }

  #scheduleHeartbeat(): void {
    this.#nextHeartbeat = setTimeout(() => void this.#heartbeat(), this.#leaseMs / HEARTBEATS_PER_LEASE);
  }

  async #heartbeat(): Promise<void> {
    const sentAt = performance.now();
    // When a stopped process continues, its timers run in any order. An expired lease must not be renewed.
    if (!this.isHeld) return;
    try {
      await this.#store.renew(this.#claim);
      if (!this.#isStopped) this.#extendFrom(sentAt);
    } catch (error) {
      if (error instanceof LeaseLostError) this.#lose(error);
      // After another error the next heartbeat tries again, until the lease expires.
    }
    if (!this.#isStopped) this.#scheduleHeartbeat();
  }

  #lose(error: LeaseLostError): void {
    if (this.#isStopped) return;
    this.stop();
    this.#heldUntil = 0;
    this.#onLost(error);
  }
}
