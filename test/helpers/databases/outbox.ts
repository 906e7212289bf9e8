import type { Database } from 'grpc-replay-guard/database';
import {
  type Attempt,
  createRelay,
  type Delivery,
  type Destination,
  migrateOutbox,
  type ObservedAttempt,
  Outbox,
  type OutboxEvent,
  type OutboxObserver,
  type Relay,
  type RelayOptions,
} from 'grpc-replay-guard/outbox';
import { poll } from '../waiting/poll.js';
import type { DataSource } from './engines.js';
import type { Cleanup } from './postgres.js';

/** So long that it explains nothing that happens in a test. */
export const NEVER_MS = 3_600_000;

/** An outbox on a database, whose events of type `note` go to the destination `desk`. */
export async function openOutbox(
  data: DataSource,
  routes: Record<string, string[]> = { note: ['desk'] },
): Promise<Outbox> {
  const { database } = await data.open({ lockTimeoutMs: 20_000, maxConnections: 5 });
  await migrateOutbox(database);
  return new Outbox({ database, routes, maxPayloadBytes: 1_000 });
}

/** Appends events `{ number }`, each in a transaction of its own. */
export async function append(outbox: Outbox, ...events: [aggregate: string, number: number][]) {
  const ids: string[] = [];
  for (const [aggregate, number] of events) {
    ids.push(await outbox.database.transaction(() => outbox.append(note(aggregate, number))));
  }
  return ids;
}

export function note(aggregate: string, number: number) {
  return { type: 'note', aggregate, payload: { number } };
}

/** What `append` has appended, as `a1`. */
export function nameOf({ aggregate, payload }: OutboxEvent): string {
  return `${aggregate}${(payload as { number: number }).number}`;
}

/** A delivery that writes down what it was given, as `a1`. */
export function notebook() {
  const notes: string[] = [];
  const write: Delivery = async (event) => {
    notes.push(nameOf(event));
  };
  return { notes, write };
}

/** A relay to `desk` that is never woken by time, unless the options say otherwise; stopped after the test. */
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

/** Lets rounds follow one another until one delivers nothing; how many each of them delivered. */
export async function rounds(relay: Relay): Promise<number[]> {
  const counts: number[] = [];
  do counts.push(await relay.runOnce());
  while (counts.at(-1));
  return counts.slice(0, -1);
}

/** As if so much time had passed for everything in the outbox. */
export async function elapse(database: Database, ms: number): Promise<void> {
  await database.query(
    `UPDATE replay_guard_outbox SET created_at = created_at - $1, due_at = due_at - $1,
       dead_at = dead_at - $1, ended_at = ended_at - $1`,
    [ms],
  );
  await database.query('UPDATE replay_guard_outbox_closed SET closed_at = closed_at - $1', [ms]);
}

/** How far each event is: `[attempts, 'pending' | 'delivered' | 'dead' | 'discarded']`, in the order of aggregates. */
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

/** An observer that keeps what it is told, for tests to look at and to wait for. */
export class Watch implements OutboxObserver {
  readonly told: string[] = [];
  readonly errors: unknown[] = [];
  readonly reports: Parameters<OutboxObserver['reported']>[0][] = [];

  delivered({ aggregate }: ObservedAttempt): void {
    this.told.push(`delivered ${aggregate}`);
  }
  failed({ aggregate }: ObservedAttempt, _seconds: number, error: unknown, retryInMs?: number): void {
    this.told.push(`${retryInMs === undefined ? 'buried' : 'failed'} ${aggregate}`);
    this.errors.push(error);
  }
  leaseLost({ aggregate }: ObservedAttempt): void {
    this.told.push(`lost ${aggregate}`);
  }
  subscriptionEnded(destination: string, error: unknown): void {
    this.told.push(`ended ${destination}`);
    this.errors.push(error);
  }
  purged(count: number): void {
    this.told.push(`purged ${count}`);
  }
  reported(report: Parameters<OutboxObserver['reported']>[0]): void {
    this.reports.push(report);
  }
  troubled(error: unknown): void {
    this.told.push('troubled');
    this.errors.push(error);
  }

  /** Resolves when it was told `what`, past or to come. */
  heard(what: string): Promise<void> {
    return poll(what, () => this.told.includes(what));
  }
}

export type { Attempt };
