import type { Database } from '../database.js';
import type { OutboxEvent } from './event.js';

/** An event that waits to be delivered. */
export interface Waiting extends OutboxEvent {
  /** How often it was claimed before. Also the fence: every claim raises it, and names the one it raises. */
  readonly attempts: bigint;
}

interface EventRow {
  readonly event_id: string;
  readonly aggregate: string;
  readonly type: string;
  readonly payload: string;
  readonly attempts: bigint;
}

// Rows are marked when they are done, never passed over by their order: order of ids is not order of commits.
const findDue = `
  SELECT event_id, aggregate, type, payload, attempts FROM outbox_events AS event
  WHERE done_at IS NULL AND due_at <= $1 AND NOT EXISTS (
    SELECT 1 FROM outbox_events AS earlier
    WHERE earlier.aggregate = event.aggregate AND earlier.sequence < event.sequence AND earlier.done_at IS NULL)
  ORDER BY due_at LIMIT $2`;

// A claim makes the event due again only when its lease has run out.
const claim = `
  UPDATE outbox_events SET attempts = attempts + 1, due_at = $3
  WHERE event_id = $1 AND attempts = $2 AND done_at IS NULL RETURNING event_id`;

const done = `
  UPDATE outbox_events SET done_at = $3, last_error = NULL
  WHERE event_id = $1 AND attempts = $2 AND done_at IS NULL RETURNING event_id`;

const retry = `
  UPDATE outbox_events SET due_at = $3, last_error = $4
  WHERE event_id = $1 AND attempts = $2 AND done_at IS NULL RETURNING event_id`;

/** The events that wait for delivery. Several relays may work on one queue. */
export class Queue {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** At most `limit` due events, of each aggregate the first that waits. */
  async due(nowMs: number, limit: number): Promise<Waiting[]> {
    return (await this.#database.query<EventRow>(findDue, [nowMs, limit])).map(waitingFrom);
  }

  /** Makes the event the caller's until `leaseUntilMs`; undefined if somebody else was quicker. */
  async claim(event: Waiting, leaseUntilMs: number): Promise<Waiting | undefined> {
    const won = await this.#database.query(claim, [event.eventId, event.attempts, leaseUntilMs]);
    return won.length > 0 ? { ...event, attempts: event.attempts + 1n } : undefined;
  }

  /** Marks the event delivered; false if its lease ran out and it was claimed again. */
  async done({ eventId, attempts }: Waiting, nowMs: number): Promise<boolean> {
    return (await this.#database.query(done, [eventId, attempts, nowMs])).length > 0;
  }

  /** Makes the event due again at `dueAtMs`; false if it was claimed again meanwhile. */
  async retry({ eventId, attempts }: Waiting, dueAtMs: number, error: string): Promise<boolean> {
    return (await this.#database.query(retry, [eventId, attempts, dueAtMs, error])).length > 0;
  }
}

function waitingFrom({ event_id, aggregate, type, payload, attempts }: EventRow): Waiting {
  return { eventId: event_id, aggregate, type, payload: JSON.parse(payload), attempts };
}
