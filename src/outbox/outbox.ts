import type { Clock } from '../clock.js';
import type { Database } from '../database.js';
import type { Ids } from '../ids.js';

export interface NewEvent {
  readonly aggregate: string;
  readonly type: string;
  /** Kept as JSON. */
  readonly payload: object;
}

export interface Outbox {
  /** Adds an event; inside a transaction it is there if and only if that commits. */
  append(event: NewEvent): Promise<void>;
}

// Two that append to one aggregate at once have locked it before; the unique sequence refuses the rest.
const insert = `
  INSERT INTO outbox_events (event_id, aggregate, sequence, type, payload, created_at, due_at)
  VALUES ($1, $2, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM outbox_events WHERE aggregate = $2), $3, $4, $5, $5)`;

/** Events that commit together with what they tell of, for the relay to deliver. */
export function createOutbox(options: {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
}): Outbox {
  const { database, clock, ids } = options;
  return {
    async append({ aggregate, type, payload }) {
      const eventId = ids.next(`${type} ${aggregate}`);
      await database.query(insert, [eventId, aggregate, type, JSON.stringify(payload), clock.now()]);
    },
  };
}
