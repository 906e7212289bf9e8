import { isLeaseLost } from '../../database/error-kinds.js';
import { LeaseLostError } from '../../database/errors.js';
import type { Claim } from '../../store/store.js';
import { type Deadline, deadlines } from '../../timing/deadlines.js';
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
  #heldUntil: number;
  /** The next heartbeat, or the expiry of the lease while a heartbeat waits for its answer. */
  #deadline: Deadline | undefined;
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
    this.#heldUntil = sentAt + leaseMs;
    this.#scheduleHeartbeat();
  }

  /** Whether the execution may still commit. */
  get isHeld(): boolean {
    return performance.now() < this.#heldUntil;
  }

  /** Ends the heartbeat. The execution calls this method when its handler has ended. */
  stop(): void {
    this.#isStopped = true;
    this.#deadline?.cancel();
  }

  /** Schedules the next heartbeat, or the expiry if the lease expires earlier. */
  #scheduleHeartbeat(): void {
    const ms = Math.min(this.#leaseMs / HEARTBEATS_PER_LEASE, this.#remainingMs);
    this.#deadline = deadlines.set(ms, () => void this.#heartbeat());
  }

  get #remainingMs(): number {
    return Math.max(this.#heldUntil - performance.now(), 0);
  }

  async #heartbeat(): Promise<void> {
    // The process may have been stopped. An expired lease must not be renewed.
    if (!this.isHeld) return this.#expire();
    const sentAt = performance.now();
    // The lease also expires when the store never answers the heartbeat.
    this.#deadline = deadlines.set(this.#remainingMs, () => this.#expire());
    try {
      await this.#store.renew(this.#claim);
      if (!this.#isStopped) this.#heldUntil = sentAt + this.#leaseMs;
    } catch (error) {
      if (isLeaseLost(error)) this.#lose(error);
      // After another error the next heartbeat tries again, until the lease expires.
    }
    if (this.#isStopped) return;
    this.#deadline.cancel();
    this.#scheduleHeartbeat();
  }

  #expire(): void {
    this.#lose(new LeaseLostError('the lease was not renewed in time'));
  }

  #lose(error: LeaseLostError): void {
    if (this.#isStopped) return;
    this.stop();
    this.#heldUntil = 0;
    this.#onLost(error);
  }
}
