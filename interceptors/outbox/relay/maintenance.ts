import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ResolvedDestination } from '../destination/destination.js';
import type { OutboxObserver } from '../observer.js';
import type { Outbox } from '../outbox.js';
import { leaseMsOf } from './destination-worker.js';
import type { Queue } from './queue.js';

const INTERVAL_MS = 15_000;
/** The time that a due time may lie beyond its lease or its pause, in milliseconds. */
const CLOCK_MARGIN_MS = 60_000;

/** The options of an `OutboxMaintenance`. */
export interface OutboxMaintenanceOptions {
  /** The outbox whose state is reported. */
  readonly outbox: Outbox;
  /** The stored events. */
  readonly queue: Queue;
  /** The destinations of the relay. */
  readonly destinations: readonly ResolvedDestination[];
  /** Receives the reports, the numbers of deleted events and the errors. */
  readonly observer: OutboxObserver;
  /** How long ended events are retained, in milliseconds. */
  readonly retentionMs: number;
  /** The maximum number of events that one statement deletes. */
  readonly purgeBatch: number;
}

/**
 * Does regular work on the stored events: makes events due that wait because the clock was set back, advances events
 * that remained parked after a crash, deletes old events, and reports the state of destinations.
 */
export class OutboxMaintenance {
  readonly #options: OutboxMaintenanceOptions;
  readonly #task: RepeatingTask;
  #isStopped = false;

  constructor(options: OutboxMaintenanceOptions) {
    this.#options = options;
    this.#task = new RepeatingTask({
      run: () => this.run(),
      intervalMs: INTERVAL_MS,
      onError: (error) => options.observer.errorOccurred(error),
      onRecovered: () => options.observer.recovered(),
    });
  }

  start(): void {
    this.#task.start();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#task.stop();
  }

  /**
   * Executes all steps once. A failed step does not stop the following steps.
   * @throws the error of the first failed step
   */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps()) {
      if (!this.#isStopped) await step().catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  *#steps(): Generator<() => Promise<unknown>> {
    const { queue, destinations, retentionMs } = this.#options;
    for (const destination of destinations)
      yield () => queue.recall(destination.name, maxAheadMs(destination));
    // Receivers wait for parked events, so this step precedes the purge.
    for (const { name } of destinations) yield () => queue.advanceAll(name);
    yield () => this.#purge((limit) => queue.purge(retentionMs, limit));
    for (const destination of destinations) {
      yield () => this.#purge((limit) => queue.purgeClosed(destination, retentionMs, limit));
      yield () => queue.advanceAll(destination.name);
    }
    yield () => this.#report();
  }

  /** Calls `purge` until a batch is not full. */
  async #purge(purge: (limit: number) => Promise<number>): Promise<void> {
    const { purgeBatch, observer } = this.#options;
    let purged = purgeBatch;
    while (purged === purgeBatch && !this.#isStopped) {
      purged = await purge(purgeBatch);
      if (purged > 0) observer.purged(purged);
    }
  }

  async #report(): Promise<void> {
    const { outbox, destinations, observer } = this.#options;
    const reports = new Map((await outbox.report()).map((report) => [report.destination, report]));
    for (const { name: destination, endpoint } of destinations) {
      const report = reports.get(destination) ?? {
        destination,
        pending: 0,
        dead: 0,
        oldestMs: 0,
        closed: [],
      };
      const closed = report.closed.filter((subscription) => subscription.endpoint === endpoint);
      observer.reported({ ...report, closed });
    }
  }
}

/** How far ahead the due time of an event may be, in milliseconds. */
function maxAheadMs(destination: ResolvedDestination): number {
  return Math.max(leaseMsOf(destination), destination.retry.maxBackoffMs) + CLOCK_MARGIN_MS;
}
