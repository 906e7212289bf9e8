import { assertKnownOptions } from '../../options/known-options.js';
import { completeObserver } from '../../options/observer.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../../options/whole-number.js';
import { within } from '../../timing/timeout.js';
import { type Destination, resolveDestination } from '../destination/destination.js';
import type { WakeUps } from '../notifications.js';
import { type OutboxObserver, outboxObserverMethods } from '../observer.js';
import type { Outbox } from '../outbox.js';
import { statementsOf } from '../sql/statements.js';
import { type EventTracing, SafeEventTracing } from '../tracing.js';
import { DestinationWorker } from './destination-worker.js';
import { OutboxMaintenance } from './maintenance.js';
import { Queue } from './queue.js';

/** How long a stop waits for the aborted deliveries, in milliseconds. */
const ABORT_TIMEOUT_MS = 2_000;

/** The options of `createRelay`. */
export interface RelayOptions {
  /** The outbox whose events the relay delivers. */
  readonly outbox: Outbox;
  /** The destinations of this relay, by name. Other relays may serve other destinations of the outbox. */
  readonly destinations: Readonly<Record<string, Destination>>;
  /** Wakes the relay when another process appends an event. Default: the relay only polls. */
  readonly wakeUps?: WakeUps;
  /** One observer or a list. Each receives the events of the relay. Any method may be missing. Default: no observer. */
  readonly observer?: Partial<OutboxObserver> | readonly Partial<OutboxObserver>[];
  /** Makes each attempt part of the trace in which its event was appended. Default: attempts are not traced. */
  readonly tracing?: EventTracing;
  /** The maximum pause between two queries for due events, in milliseconds. Default: 1,000. */
  readonly pollMs?: number;
  /**
   * How long a stop waits for the running deliveries before it aborts them, in milliseconds. Default: 5,000.
   */
  readonly graceMs?: number;
  /** How long delivered and discarded events are retained, in milliseconds. Default: 24 hours. */
  readonly retentionMs?: number;
  /** The maximum number of events that one statement deletes. Default: 500. */
  readonly purgeBatch?: number;
  /** Returns a number from 0 to 1 that spreads the retries. Default: `Math.random`. */
  readonly random?: () => number;
}

/** Delivers the events of an outbox. */
export interface Relay {
  start(): void;
  /** Queries for due events now. */
  wake(): void;
  /**
   * Stops claiming and waits for the running deliveries, at most `graceMs`. Then aborts the running deliveries. Other
   * relays deliver these events when the leases expire. Resolves at most 2 seconds after the abort, even if the
   * database does not answer.
   */
  stop(): Promise<void>;
  /**
   * Delivers the due events once, at most one of each aggregate. Resolves to the number of delivered events. Use this
   * method only if the relay is not started.
   */
  runOnce(): Promise<number>;
  /**
   * Executes the maintenance once: deletes old events and reports destinations. A started relay runs the maintenance
   * regularly.
   */
  runMaintenance(): Promise<void>;
}

/**
 * Creates a relay that delivers the events of an outbox. Each destination receives its events at least once. It
 * receives the events of one aggregate in the order of their appends. A failed attempt is retried. An undeliverable
 * event becomes a dead letter, and the later events of its aggregate wait.
 * @throws TypeError when an option is unknown or out of its bounds, also an option of a destination
 */
export function createRelay(options: RelayOptions): Relay {
  assertKnownOptions<RelayOptions>('createRelay', options, {
    outbox: true,
    destinations: true,
    wakeUps: true,
    observer: true,
    tracing: true,
    pollMs: true,
    graceMs: true,
    retentionMs: true,
    purgeBatch: true,
    random: true,
  });
  const { outbox, random = Math.random, wakeUps } = options;
  const observer = completeObserver(options.observer, outboxObserverMethods);
  const { pollMs = 1_000, graceMs = 5_000, retentionMs = 86_400_000, purgeBatch = 500 } = options;
  assertWholeNumber('pollMs', pollMs, { max: MAX_TIMER_MS });
  assertWholeNumber('graceMs', graceMs, { min: 0, max: MAX_TIMER_MS });
  assertWholeNumber('retentionMs', retentionMs, { min: 0 });
  assertWholeNumber('purgeBatch', purgeBatch, { max: MAX_TIMER_MS });
  const tracing = options.tracing && new SafeEventTracing(options.tracing);
  const queue = new Queue(outbox.database, statementsOf(outbox.database.dialect));
  const destinations = Object.entries(options.destinations).map(([name, destination]) =>
    resolveDestination(name, destination),
  );
  for (const { name, deliveries } of destinations) observer.destinationServed(name, [...deliveries.keys()]);
  const workers = destinations.map(
    (destination) => new DestinationWorker({ queue, destination, observer, tracing, random, pollMs }),
  );
  const maintenance = new OutboxMaintenance({
    outbox,
    queue,
    destinations,
    observer,
    retentionMs,
    purgeBatch,
  });
  const wake = () => {
    for (const worker of workers) worker.wake();
  };
  let unsubscribe = () => {};

  return {
    start() {
      unsubscribe = outbox.onWork(wake);
      wakeUps?.start(wake, observer);
      for (const worker of workers) worker.start();
      maintenance.start();
    },
    wake,
    async stop() {
      unsubscribe();
      const workersEnded = workers.map((worker) => worker.stop());
      const ended = Promise.all([wakeUps?.stop(), maintenance.stop(), ...workersEnded]);
      await within(ended, { ms: graceMs, otherwise: () => {} });
      for (const worker of workers) worker.abort();
      await within(ended, { ms: ABORT_TIMEOUT_MS, otherwise: () => {} });
    },
    async runOnce() {
      const delivered = await Promise.all(workers.map((worker) => worker.runOnce()));
      return delivered.reduce((sum, count) => sum + count, 0);
    },
    runMaintenance: () => maintenance.run(),
  };
}
