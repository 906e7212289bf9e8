import { RepeatingTask } from '../../timing/repeating-task.js';
import { MOST_LOOKED_AT } from '../sql/claim-statements.js';
import { AggregatesToAdvance } from './advance.js';
import { Deliverer, type DelivererOptions } from './deliver.js';
import type { Claimable, Claimed } from './queue.js';

/** How much longer a lease is than the longest attempt, in milliseconds: time to be told of the claim, and to mark. */
const LEASE_MARGIN_MS = 30_000;

export interface DestinationWorkerOptions extends Omit<DelivererOptions, 'onRetry'> {
  readonly pollMs: number;
}

/** The way to one destination: so many events at once as it takes, and each aggregate's in order. */
export class DestinationWorker {
  readonly #options: DestinationWorkerOptions;
  readonly #courier: Deliverer;
  readonly #task: RepeatingTask;
  readonly #running = new Set<Promise<boolean>>();
  readonly #moved: AggregatesToAdvance;
  #stopped = false;

  constructor(options: DestinationWorkerOptions) {
    this.#options = options;
    this.#moved = new AggregatesToAdvance(options.queue, options.destination.name);
    this.#task = new RepeatingTask({
      run: () => this.#run(),
      intervalMs: options.pollMs,
      onError: (error) => options.observer.troubled(error),
    });
    this.#courier = new Deliverer({ ...options, onRetry: (inMs) => this.#task.wakeIn(inMs) });
  }

  start(): void {
    this.#task.start();
  }

  wake(): void {
    this.#task.wake();
  }

  /** Delivers what is due now, of each aggregate one event and as far as there is room; how many it delivered. */
  async runOnce(): Promise<number> {
    const ended = await Promise.all(await this.#take());
    await this.#moved.advance();
    return ended.filter(Boolean).length;
  }

  /** Claims no more; resolves when the deliveries that are running have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#task.stop();
    await Promise.all(this.#running);
    await this.#moved.advance().catch((error) => this.#options.observer.troubled(error));
  }

  abort(): void {
    this.#courier.abort();
  }

  async #run(): Promise<void> {
    await this.#take();
  }

  /** Claims until there is no more room, or nothing that is due has to be parked. */
  async #take(): Promise<Promise<boolean>[]> {
    await this.#moved.advance();
    const deliveries: Promise<boolean>[] = [];
    // Where all that is due may be claimed, none is looked at in vain; where not, many are parked at once.
    for (let look = Math.min(this.#room(), MOST_LOOKED_AT); this.#room() > 0; look = MOST_LOOKED_AT) {
      const { claimed, parked } = await this.#claim(look);
      deliveries.push(...claimed.map((one) => this.#deliver(one)));
      if (parked.length === 0) break;
    }
    // They may have come to their turn while they were parked. Not before the last look: a round delivers one of each.
    if ((await this.#moved.advance()) > 0) this.#task.wake();
    return deliveries;
  }

  /** Whichever delivery ends makes more, and wakes the lane. */
  #room(): number {
    return this.#stopped ? 0 : this.#options.destination.concurrency - this.#running.size;
  }

  async #claim(look: number): Promise<Claimable> {
    const { queue, destination } = this.#options;
    const asked = performance.now();
    const leaseMs = destination.timeoutMs + LEASE_MARGIN_MS;
    const { claimed, parked } = await queue.claim(destination, { room: this.#room(), look, leaseMs });
    for (const aggregate of parked) this.#moved.add(aggregate);
    // Told of so late that the attempts might outlast the leases, or that the relay has stopped.
    const isLate = performance.now() - asked > LEASE_MARGIN_MS / 2;
    if (!isLate && !this.#stopped) return { claimed, parked };
    await Promise.all(claimed.map((one) => queue.giveBack(one)));
    return { claimed: [], parked };
  }

  async #deliver(claimed: Claimed): Promise<boolean> {
    const delivery = this.#courier.deliver(claimed);
    this.#running.add(delivery);
    const delivered = await delivery;
    this.#running.delete(delivery);
    if (delivered) this.#moved.add(claimed.event.aggregate);
    // There is room, and the next of the aggregate may have its turn.
    this.#task.wake();
    return delivered;
  }
}
