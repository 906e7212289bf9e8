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

/** A time so long that it never passes during a test. */
export const NEVER_MS = 3_600_000;

/** Opens an outbox whose events of type `note` go to the destination `desk`. */
export async function openOutbox(
  data: DataSource,
  routes: Record<string, string[]> = { note: ['desk'] },
): Promise<Outbox> {
  const { database } = await data.open({ lockTimeoutMs: 20_000, maxConnections: 5 });
  await migrateOutbox(database);
  return new Outbox({ database, routes, maxPayloadBytes: 1_000 });
}

/** Appends events `{ number }`, each in its own transaction. Resolves to their ids. */
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

/** The aggregate and number of an event, as `a1`. */
export function nameOf({ aggregate, payload }: OutboxEvent): string {
  return `${aggregate}${(payload as { number: number }).number}`;
}

/** Creates a delivery that notes each event, as `a1`. */
export function notebook() {
  const notes: string[] = [];
  const write: Delivery = async (event) => {
    notes.push(nameOf(event));
  };
  return { notes, write };
}

/** Creates a relay to `desk` without time-based runs, unless the options set them. The relay stops after the test. */
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

/** Runs rounds until a round delivers no event. Resolves to the number of deliveries per round. */
export async function rounds(relay: Relay): Promise<number[]> {
  const counts: number[] = [];
  do counts.push(await relay.runOnce());
  while (counts.at(-1));
  return counts.slice(0, -1);
}

/** Moves every time in the outbox back by `ms`, as if the time had passed. */
export async function elapse(database: Database, ms: number): Promise<void> {
  await database.query(
    `UPDATE replay_guard_outbox SET created_at = created_at - $1, due_at = due_at - $1,
       dead_at = dead_at - $1, ended_at = ended_at - $1`,
    [ms],
  );
  await database.query('UPDATE replay_guard_outbox_closed SET closed_at = closed_at - $1', [ms]);
}

/** Resolves to `[attempts, 'pending' | 'delivered' | 'dead' | 'discarded']` of each event, ordered by aggregate. */
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

/** An observer that records its calls, so that tests can read and await them. */
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

  /** Resolves when the call `what` is recorded, or at once if it already is. */
  heard(what: string): Promise<void> {
    return poll(what, () => this.told.includes(what));
  }
}

export type { Attempt };
