import type { Clock } from '../clock.js';
import type { Database } from '../database.js';
import type { Log } from '../log.js';
import { Periodic } from '../periodic.js';
import { backoffMs } from './backoff.js';
import type { Deliveries } from './event.js';
import { Queue, type Waiting } from './queue.js';

export interface RelayOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly deliveries: Deliveries;
  readonly log: Log;
  /** Pause between looks, in milliseconds; 250 where left out. */
  readonly pollMs?: number;
  /** How long an event is this relay's alone, in milliseconds; 60 seconds where left out. */
  readonly leaseMs?: number;
  /** Most events that are delivered at once; 32 where left out. */
  readonly batch?: number;
  /** From 0 to 1, spreads the retries; `Math.random` where left out. */
  readonly random?: () => number;
}

export interface Relay {
  start(): void;
  /** Looks for events now. */
  wake(): void;
  /** Resolves when the deliveries that are running have ended. */
  stop(): Promise<void>;
  /** One round: delivers what is due, of each aggregate one event, and returns how many were delivered. */
  runOnce(): Promise<number>;
}

/**
 * Delivers the events of the outbox, each at least once and each aggregate's in order. What fails is tried
 * again, for as long as it takes; the events behind it in its aggregate wait.
 */
export function createRelay(options: RelayOptions): Relay {
  const { database, clock, log, pollMs = 250, batch = 32 } = options;
  const queue = new Queue(database);
  const courier = new Courier(queue, options);

  const runOnce = async () => {
    const due = await queue.due(clock.now(), batch);
    const delivered = await Promise.all(due.map((event) => courier.deliver(event)));
    return delivered.filter(Boolean).length;
  };

  // What was delivered may have made the next event of its aggregate due.
  const round = async () => (await runOnce()) > 0;
  const periodic = new Periodic({ name: 'relay', round, intervalMs: pollMs, log });
  return {
    start: () => periodic.start(),
    wake: () => periodic.wake(),
    stop: () => periodic.stop(),
    runOnce,
  };
}

/** Brings claimed events to their deliveries and notes how it went. */
class Courier {
  readonly #queue: Queue;
  readonly #options: RelayOptions;

  constructor(queue: Queue, options: RelayOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Whether the event was delivered and marked; never rejects, so that the others of its round go on. */
  async deliver(event: Waiting): Promise<boolean> {
    try {
      const { clock, leaseMs = 60_000 } = this.#options;
      const claimed = await this.#queue.claim(event, clock.now() + leaseMs);
      return claimed ? await this.#attempt(claimed) : false;
    } catch (error) {
      // Nothing is lost: the event is due again, at once or when its lease has run out.
      this.#options.log.error({ ...named(event), err: error }, 'the outbox could not be written');
      return false;
    }
  }

  async #attempt(event: Waiting): Promise<boolean> {
    const { clock, log, random = Math.random } = this.#options;
    try {
      await this.#handOver(event);
    } catch (error) {
      log.warn({ ...named(event), err: error }, 'an event could not be delivered');
      await this.#queue.retry(event, clock.now() + backoffMs(event.attempts, random()), String(error));
      return false;
    }
    return this.#queue.done(event, clock.now());
  }

  async #handOver(event: Waiting): Promise<void> {
    const delivery = this.#options.deliveries[event.type];
    if (!delivery) throw new Error(`no delivery for events of type ${event.type}`);
    await delivery(event);
  }
}

function named({ eventId, type, attempts }: Waiting) {
  return { event: eventId, type, attempts: String(attempts) };
}
