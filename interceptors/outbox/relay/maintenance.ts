import { RepeatingTask } from '../../timing/repeating-task.js';
import type { ResolvedDestination } from '../destination/destination.js';
import type { OutboxObserver } from '../observer.js';
import type { Outbox } from '../outbox.js';
import type { Queue } from './queue.js';

const EVERY_MS = 15_000;

export interface OutboxMaintenanceOptions {
  readonly outbox: Outbox;
  readonly queue: Queue;
  readonly destinations: readonly ResolvedDestination[];
  readonly observer: OutboxObserver;
  readonly retentionMs: number;
  readonly purgeBatch: number;
}

/** Deletes what is kept no longer, a bounded batch at a time, mends what crashes have left, and counts the rest. */
export class OutboxMaintenance {
  readonly #options: OutboxMaintenanceOptions;
  readonly #task: RepeatingTask;
  #stopped = false;

  constructor(options: OutboxMaintenanceOptions) {
    this.#options = options;
    this.#task = new RepeatingTask({
      run: () => this.run(),
      intervalMs: EVERY_MS,
      onError: (error) => options.observer.troubled(error),
    });
  }

  start(): void {
    this.#task.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#task.stop();
  }

  /**
   * Gives those their turn that a crash has left parked, purges until nothing old is left, and tells the observer how
   * many events are pending and dead. What fails keeps the rest from nothing.
   * @throws what the first step that failed has thrown
   */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (const step of this.#steps()) {
      if (!this.#stopped) await step().catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  *#steps(): Generator<() => Promise<unknown>> {
    const { queue, destinations, retentionMs } = this.#options;
    // First: a turn is waited for, a purge is not.
    for (const { name } of destinations) yield () => queue.mend(name);
    yield () => this.#purge((limit) => queue.purge(retentionMs, limit));
    for (const destination of destinations) {
      yield () => this.#purge((limit) => queue.purgeClosed(destination, retentionMs, limit));
      yield () => queue.mend(destination.name);
    }
    yield () => this.#count();
  }

  async #purge(purge: (limit: number) => Promise<number>): Promise<void> {
    const { purgeBatch, observer } = this.#options;
    let purged = purgeBatch;
    while (purged === purgeBatch && !this.#stopped) {
      purged = await purge(purgeBatch);
      if (purged > 0) observer.purged(purged);
    }
  }

  async #count(): Promise<void> {
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
      const closed = report.closed.filter((each) => each.endpoint === endpoint);
      observer.reported({ ...report, closed });
    }
  }
}
