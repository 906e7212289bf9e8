import { Courier, type CourierOptions } from './courier.js';
import { Pulse } from './pulse.js';
import type { Claimed } from './queue.js';

/** How much longer a lease is than the longest attempt, in milliseconds: time to be told of the claim, and to mark. */
const LEASE_MARGIN_MS = 30_000;

export interface LaneOptions extends Omit<CourierOptions, 'onRetry'> {
  readonly pollMs: number;
}

/** The way to one destination: so many events at once as it takes, and each aggregate's in order. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #courier: Courier;
  readonly #pulse: Pulse;
  readonly #running = new Set<Promise<boolean>>();

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#pulse = new Pulse(() => this.#beat(), options.pollMs);
    this.#courier = new Courier({ ...options, onRetry: (inMs) => this.#pulse.wakeIn(inMs) });
  }

  start(): void {
    this.#pulse.start();
  }

  wake(): void {
    this.#pulse.wake();
  }

  /** Delivers what is due now, as far as there is room, and returns how many were delivered. */
  async runOnce(): Promise<number> {
    const ended = await Promise.all(await this.#take());
    return ended.filter(Boolean).length;
  }

  /** Claims no more; resolves when the deliveries that are running have ended. */
  async stop(): Promise<void> {
    await this.#pulse.stop();
    await Promise.all(this.#running);
  }

  abort(): void {
    this.#courier.abort();
  }

  async #beat(): Promise<void> {
    try {
      await this.#take();
    } catch (error) {
      this.#options.observer.troubled(error);
    }
  }

  async #take(): Promise<Promise<boolean>[]> {
    const { queue, destination } = this.#options;
    const room = destination.concurrency - this.#running.size;
    // Whichever delivery ends makes the room, and wakes the lane.
    if (room === 0) return [];
    const asked = performance.now();
    const claimed = await queue.claim(destination, room, destination.timeoutMs + LEASE_MARGIN_MS);
    // So long on the way that the attempts might outlast the leases.
    if (performance.now() - asked > LEASE_MARGIN_MS / 2) return [];
    return claimed.map((one) => this.#deliver(one));
  }

  async #deliver(claimed: Claimed): Promise<boolean> {
    const delivery = this.#courier.deliver(claimed);
    this.#running.add(delivery);
    const delivered = await delivery;
    this.#running.delete(delivery);
    // The next of the aggregate may be due now, and there is room for it.
    this.#pulse.wake();
    return delivered;
  }
}
