import { setTimeout as delay } from 'node:timers/promises';
import { completeObserver } from '../../options/observer.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../../options/whole-number.js';
import { type Destination, settle } from '../destination/destination.js';
import { type OutboxObserver, outboxObserverMethods } from '../observer.js';
import type { Outbox } from '../outbox.js';
import { statementsOf } from '../sql/statements.js';
import { DestinationWorker } from './destination-worker.js';
import { OutboxMaintenance } from './maintenance.js';
import { Queue } from './queue.js';

/** How long what was cut off may take to say so to the database, in milliseconds. */
const LAST_WORDS_MS = 2_000;

/** Tells of work that other processes have made. */
export interface WakeUps {
  /** Calls `wake` whenever there may be work, from now on. */
  start(wake: () => void): void;
  stop(): Promise<void>;
}

export interface RelayOptions {
  readonly outbox: Outbox;
  /** By name. What goes to other destinations is left to other relays. */
  readonly destinations: Readonly<Record<string, Destination>>;
  /** Wakes the relay for what other processes append. Default: polling alone. */
  readonly wakeUps?: WakeUps;
  readonly observer?: Partial<OutboxObserver>;
  /** The longest pause between two looks at the database, in milliseconds. Default: 1,000. */
  readonly pollMs?: number;
  /** How long deliveries that are running may take to end at the stop, in milliseconds. Default: 5,000. */
  readonly graceMs?: number;
  /** How long delivered and discarded events are kept, in milliseconds. Default: 24 hours. */
  readonly retentionMs?: number;
  /** Most events that one statement deletes. Default: 500. */
  readonly purgeBatch?: number;
  /** From 0 to 1, spreads the retries. Default: `Math.random`. */
  readonly random?: () => number;
}

export interface Relay {
  start(): void;
  /** Looks for events now. */
  wake(): void;
  /**
   * Claims no more, and waits for the deliveries that are running, at most for the grace time; then cuts them
   * off, and leaves their events to whoever comes after their leases. Resolves at most two seconds later, also
   * where the database is out of reach.
   */
  stop(): Promise<void>;
  /**
   * One round, for a relay that is not started: delivers what is due, of each aggregate one event, and returns
   * how many were delivered.
   */
  runOnce(): Promise<number>;
  /** One round of upkeep, which a started relay does by itself: purges what is old, and counts. */
  tidy(): Promise<void>;
}

/**
 * Delivers the events of an outbox, each at least once to each of its destinations, and each aggregate's in their
 * order. What fails is tried again; what fails for good becomes a dead letter, and those behind it wait.
 * @throws TypeError an option, or one of a destination, is no whole number in its range
 */
export function createRelay(options: RelayOptions): Relay {
  const { outbox, random = Math.random, wakeUps } = options;
  const observer = completeObserver(options.observer, outboxObserverMethods);
  const { pollMs = 1_000, graceMs = 5_000, retentionMs = 86_400_000, purgeBatch = 500 } = options;
  assertWholeNumber('pollMs', pollMs, { max: MAX_TIMER_MS });
  assertWholeNumber('graceMs', graceMs, { min: 0, max: MAX_TIMER_MS });
  assertWholeNumber('retentionMs', retentionMs, { min: 0 });
  assertWholeNumber('purgeBatch', purgeBatch, { max: MAX_TIMER_MS });
  const queue = new Queue(outbox.database, statementsOf(outbox.database.dialect));
  const destinations = Object.entries(options.destinations).map(([name, given]) => settle(name, given));
  const lanes = destinations.map(
    (destination) => new DestinationWorker({ queue, destination, observer, random, pollMs }),
  );
  const upkeep = new OutboxMaintenance({ outbox, queue, destinations, observer, retentionMs, purgeBatch });
  const wake = () => {
    for (const lane of lanes) lane.wake();
  };
  let unsubscribe = () => {};

  return {
    start() {
      unsubscribe = outbox.onWork(wake);
      wakeUps?.start(wake);
      for (const lane of lanes) lane.start();
      upkeep.start();
    },
    wake,
    async stop() {
      unsubscribe();
      const ended = Promise.all([wakeUps?.stop(), upkeep.stop(), ...lanes.map((lane) => lane.stop())]);
      await within(graceMs, ended);
      for (const lane of lanes) lane.abort();
      await within(LAST_WORDS_MS, ended);
    },
    async runOnce() {
      const delivered = await Promise.all(lanes.map((lane) => lane.runOnce()));
      return delivered.reduce((sum, count) => sum + count, 0);
    },
    tidy: () => upkeep.run(),
  };
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const enough = new AbortController();
  const late = delay(ms, undefined, { signal: enough.signal }).catch(() => {});
  await Promise.race([work, late]);
  enough.abort();
}
