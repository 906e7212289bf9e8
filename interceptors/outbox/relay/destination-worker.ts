import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ResolvedDestination } from '../destination/destination.js';
import { MAX_EXAMINED_EVENTS } from '../sql/claim-statements.js';
import { AggregatesToAdvance } from './advance.js';
import { Deliverer, type DelivererOptions } from './deliver.js';
import type { ClaimedEvent, ClaimResult } from './queue.js';

/**
 * How much longer a lease is than the time limit of an attempt, in milliseconds. The relay needs this time to read
 * the claim and to record the result.
 */
const LEASE_MARGIN_MS = 30_000;

/** Returns the length of the lease of an event, in milliseconds. */
export function leaseMsOf({ timeoutMs }: ResolvedDestination): number {
  return timeoutMs + LEASE_MARGIN_MS;
}

/** The options of a `DestinationWorker`. */
export interface DestinationWorkerOptions extends Omit<DelivererOptions, 'onRetry'> {
  /** The maximum pause between two claims, in milliseconds. */
  readonly pollMs: number;
}

/**
 * Claims and delivers the events of one destination. At most `concurrency` events are delivered at the same time. The
 * events of one aggregate are delivered in order.
 */
export class DestinationWorker {
  readonly #options: DestinationWorkerOptions;
  readonly #deliverer: Deliverer;
  readonly #task: RepeatingTask;
  readonly #running = new Set<Promise<boolean>>();
  readonly #toAdvance: AggregatesToAdvance;
  #isStopped = false;

  constructor(options: DestinationWorkerOptions) {
    this.#options = options;
    this.#toAdvance = new AggregatesToAdvance(options.queue, options.destination.name);
    this.#task = new RepeatingTask({
      run: async () => void (await this.#startDeliveries()),
      intervalMs: options.pollMs,
      onError: (error) => options.observer.errorOccurred(error),
      onRecovered: () => options.observer.recovered(),
    });
    this.#deliverer = new Deliverer({ ...options, onRetry: (inMs) => this.#task.wakeIn(inMs) });
  }

  start(): void {
    this.#task.start();
  }

  wake(): void {
    this.#task.wake();
  }

  /**
   * Delivers the due events, at most one of each aggregate and up to the concurrency. Resolves to the number
   * of delivered events.
   */
  async runOnce(): Promise<number> {
    const delivered = await Promise.all(await this.#startDeliveries());
    await this.#toAdvance.advance();
    return delivered.filter(Boolean).length;
  }

  /** Stops claiming. Resolves when the running deliveries have ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#task.stop();
    await Promise.all(this.#running);
    await this.#toAdvance.advance().catch((error) => this.#options.observer.errorOccurred(error));
  }

  /** Aborts the running deliveries. */
  abort(): void {
    this.#deliverer.abort();
  }

  /** Claims events until all slots are taken, or until a claim has parked no event. */
  async #startDeliveries(): Promise<Promise<boolean>[]> {
    if (!this.#toAdvance.isEmpty) await this.#toAdvance.advance();
    const deliveries: Promise<boolean>[] = [];
    // The first claim examines one event per free slot. If a claim has parked events, the next claims examine more
    // events.
    let maxExamined = Math.min(this.#freeSlots(), MAX_EXAMINED_EVENTS);
    while (this.#freeSlots() > 0) {
      const { claimed, parked } = await this.#claim(maxExamined);
      deliveries.push(...claimed.map((event) => this.#deliver(event)));
      if (parked.length === 0) break;
      maxExamined = MAX_EXAMINED_EVENTS;
    }
    // A parked event may have become the first of its aggregate during the claims. If the event were advanced
    // earlier, a run could deliver two events of one aggregate.
    if (!this.#toAdvance.isEmpty && (await this.#toAdvance.advance()) > 0) this.#task.wake();
    return deliveries;
  }

  #freeSlots(): number {
    return this.#isStopped ? 0 : this.#options.destination.concurrency - this.#running.size;
  }

  async #claim(maxExamined: number): Promise<ClaimResult> {
    const { queue, destination } = this.#options;
    const startedAt = performance.now();
    const leaseMs = leaseMsOf(destination);
    const limits = { maxClaimed: this.#freeSlots(), maxExamined, leaseMs };
    const { claimed, parked } = await queue.claim(destination, limits);
    for (const aggregate of parked) this.#toAdvance.add(aggregate);
    // After a slow claim, the attempts could exceed the rest of the lease.
    const isLate = performance.now() - startedAt > LEASE_MARGIN_MS / 2;
    if (!isLate && !this.#isStopped) return { claimed, parked };
    await Promise.all(claimed.map((event) => queue.release(event)));
    return { claimed: [], parked };
  }

  async #deliver(claimed: ClaimedEvent): Promise<boolean> {
    const delivery = this.#deliverer.deliver(claimed);
    this.#running.add(delivery);
    const wasDelivered = await delivery;
    this.#running.delete(delivery);
    if (wasDelivered) this.#toAdvance.add(claimed.event.aggregate);
    // A slot is free, and the next event of the aggregate may now be due.
    this.#task.wake();
    return wasDelivered;
  }
}
