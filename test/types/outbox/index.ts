import type { Database } from 'grpc-replay-guard/database';
import {
  type Attempt,
  createOutbox,
  createRelay,
  type DeadLetter,
  type Delivery,
  type Destination,
  type DestinationReport,
  migrateOutbox,
  type Outbox,
  type OutboxEvent,
  type Relay,
  RetryLaterError,
  SubscriptionEndedError,
  UndeliverableError,
  type WakeUps,
} from 'grpc-replay-guard/outbox';
import { expectType } from '../expect-type.js';

declare const database: Database;

// The outbox.
const outbox: Outbox = createOutbox({ database, routes: { 'order.placed': ['inventory'] } });
// @ts-expect-error the routes are missing
createOutbox({ database });
// @ts-expect-error an unknown option
createOutbox({ database, routes: {}, ttlMs: 1 });
// @ts-expect-error a route is a list of destinations
createOutbox({ database, routes: { 'order.placed': 'inventory' } });
expectType<Promise<string>>()(outbox.append({ type: 'order.placed', aggregate: '1', payload: { a: 1 } }));
// @ts-expect-error the aggregate is missing
outbox.append({ type: 'order.placed', payload: {} });
expectType<Promise<DestinationReport[]>>()(outbox.report());
expectType<Promise<DeadLetter[]>>()(outbox.deadLetters(10));
expectType<Promise<number>>()(outbox.requeue('1'));
expectType<Promise<boolean>>()(outbox.reopen('inventory'));
expectType<Promise<void>>()(migrateOutbox(database));

// A delivery returns a promise.
const deliver: Delivery = async (event, attempt) => {
  expectType<OutboxEvent>()(event);
  expectType<Attempt>()(attempt);
  expectType<unknown>()(event.payload);
  expectType<AbortSignal>()(attempt.signal);
  // @ts-expect-error events are readonly
  event.type = 'other';
};
// @ts-expect-error a delivery that returns nothing cannot fail
(() => {}) satisfies Delivery;
const inventory: Destination = { deliveries: { 'order.placed': deliver }, timeoutMs: 1_000 };
// @ts-expect-error an unknown setting of retries
({ deliveries: {}, retry: { firstMs: 1 } }) satisfies Destination;
const paused: Destination = { deliveries: {}, retry: { initialBackoffMs: 1, maxBackoffMs: 10 } };

// The relay.
const destinations = { inventory, paused };
const relay: Relay = createRelay({ outbox, destinations, retentionMs: 1 });
expectType<Promise<number>>()(relay.runOnce());
expectType<Promise<void>>()(relay.stop());
// @ts-expect-error the destinations are missing
createRelay({ outbox });
// @ts-expect-error an unknown option
createRelay({ outbox, destinations, ttlMs: 1 });
// @ts-expect-error destinations have names
createRelay({ outbox, destinations: [inventory] });
const wakeUps: WakeUps = { start: (wake) => wake(), stop: async () => {} };
createRelay({ outbox, destinations, wakeUps });
// @ts-expect-error wake-ups also stop
createRelay({ outbox, destinations, wakeUps: { start: () => {} } });

// Observers may be partial.
createRelay({ outbox, destinations, observer: { purged: (count) => expectType<number>()(count) } });
// @ts-expect-error an unknown method of an observer
createRelay({ outbox, destinations, observer: { deliveryStarted: () => {} } });

// Errors of deliveries.
expectType<number>()(new RetryLaterError('busy', 1_000).retryAfterMs);
// @ts-expect-error the pause is missing
new RetryLaterError('busy');
const errors: readonly Error[] = [new UndeliverableError('a'), new SubscriptionEndedError('a')];
expectType<number>()(errors.length);
