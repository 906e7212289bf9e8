import type { Database } from 'grpc-replay-guard/database';
import {
  createOutbox,
  createRelay,
  type Delivery,
  type Destination,
  migrateOutbox,
  type ObservedAttempt,
  type Outbox,
  type OutboxEvent,
  type OutboxObserver,
  type Relay,
  type RelayOptions,
} from 'grpc-replay-guard/outbox';
import { poll } from '../waiting/poll.js';
import type { DataSource } from './engines.js';
import type { Cleanup } from './postgres.js';

/** Longer than any test runs. A timer of this length never causes an effect in a test. */
export const NEVER_MS = 3_600_000;

/** Longer than a lease with the default timeout, in milliseconds. */
export const LEASE_MS = 60_000;

/** Opens an outbox. Its events of type `note` go to the destination `desk` by default. */
export async function openOutbox(
  data: DataSource,
  routes: Record<string, string[]> = { note: ['desk'] },
): Promise<Outbox> {
  const { database } = await data.open({ lockTimeoutMs: 20_000, maxConnections: 5 });
  await migrateOutbox(database);
  return createOutbox({ database, routes, maxPayloadBytes: 1_000 });
}

/** Appends events with payload `{ number }`, each in a transaction of its own. Resolves to their ids. */
export async function append(outbox: Outbox, ...events: [aggregate: string, number: number][]) {
  const ids: string[] = [];
  for (const [aggregate, number] of events) {
    ids.push(await outbox.database.transaction(() => outbox.append(note(aggregate, number))));
  }
  return ids;
}

/** A new event of type `note` with payload `{ number }`. */
export function note(aggregate: string, number: number) {
  return { type: 'note', aggregate, payload: { number } };
}

/** The aggregate and the number of a note, such as `a1`. */
export function nameOf({ aggregate, payload }: OutboxEvent): string {
  return `${aggregate}${(payload as { number: number }).number}`;
}

/** A delivery that records the name of each event, such as `a1`. */
export function notebook() {
  const notes: string[] = [];
  const write: Delivery = async (event) => {
    notes.push(nameOf(event));
  };
  return { notes, write };
}

/** A delivery that always fails. */
export const failing: Delivery = async () => {
  throw new Error('down', { cause: new Error('the cause') });
};

/**
 * A relay to `desk` that never polls or retries by time, unless an option changes this. Stopped after the
 * test.
 */
export function relayTo(
  t: Cleanup,
  outbox: Outbox,
  delivery: Delivery | Destination,
  options: Partial<RelayOptions> = {},
): Relay {
  const desk = typeof delivery === 'function' ? { deliveries: { note: delivery } } : delivery;
  const relay = createRelay({
    outbox,
    destinations: { desk: { retry: { initialBackoffMs: NEVER_MS, maxBackoffMs: NEVER_MS }, ...desk } },
    pollMs: NEVER_MS,
    graceMs: 0,
    random: () => 1,
    ...options,
  });
  t.teardown(() => relay.stop());
  return relay;
}

/** Calls `runOnce` until a run delivers no event. Resolves to the number of delivered events of each run. */
export async function rounds(relay: Relay): Promise<number[]> {
  const counts: number[] = [];
  do counts.push(await relay.runOnce());
  while (counts.at(-1));
  return counts.slice(0, -1);
}

/** Moves every time in the outbox `ms` milliseconds into the past. */
export async function elapse(database: Database, ms: number): Promise<void> {
  await database.query(
    `UPDATE replay_guard_outbox SET created_at = created_at - $1, due_at = due_at - $1,
       dead_at = dead_at - $1, ended_at = ended_at - $1`,
    [ms],
  );
  await database.query('UPDATE replay_guard_outbox_closed SET closed_at = closed_at - $1', [ms]);
}

/**
 * The state of each event, `[attempts, 'pending' | 'delivered' | 'dead' | 'discarded']`, ordered by
 * aggregate.
 */
export async function states(database: Database, destination = 'desk') {
  const rows = await database.query(
    `SELECT attempts, dead_at, ended_at FROM replay_guard_outbox WHERE destination = $1
     ORDER BY aggregate, sequence`,
    [destination],
  );
  return rows.map(({ attempts, dead_at, ended_at }) => {
    if (ended_at === null) return [Number(attempts), dead_at === null ? 'pending' : 'dead'];
    return [Number(attempts), dead_at === null ? 'delivered' : 'discarded'];
  });
}

/** Records the events of a relay as short texts, such as `delivered a`. */
export class RecordingObserver implements OutboxObserver {
  readonly log: string[] = [];
  readonly errors: unknown[] = [];
  readonly reports: Parameters<OutboxObserver['reported']>[0][] = [];

  destinationServed(): void {}
  recovered(): void {
    this.log.push('recovered');
  }
  delivered({ aggregate }: ObservedAttempt): void {
    this.log.push(`delivered ${aggregate}`);
  }
  failed({ aggregate }: ObservedAttempt, _seconds: number, error: unknown, retryInMs?: number): void {
    this.log.push(`${retryInMs === undefined ? 'dead' : 'failed'} ${aggregate}`);
    this.errors.push(error);
  }
  leaseLost({ aggregate }: ObservedAttempt): void {
    this.log.push(`lost ${aggregate}`);
  }
  subscriptionEnded(destination: string, error: unknown): void {
    this.log.push(`ended ${destination}`);
    this.errors.push(error);
  }
  purged(count: number): void {
    this.log.push(`purged ${count}`);
  }
  reported(report: Parameters<OutboxObserver['reported']>[0]): void {
    this.reports.push(report);
  }
  errorOccurred(error: unknown): void {
    this.log.push('error');
    this.errors.push(error);
  }

  /** Resolves when the log contains `entry`. */
  logged(entry: string): Promise<void> {
    return poll(entry, () => this.log.includes(entry));
  }
}
