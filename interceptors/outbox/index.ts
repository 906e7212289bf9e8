export type { Destination, RetryOptions } from './destination.js';
export { RetryLaterError, SubscriptionEndedError, UndeliverableError } from './errors.js';
export type { Attempt, Delivery, NewEvent, OutboxEvent } from './event.js';
export { type ObservedAttempt, type OutboxObserver, silentOutboxObserver } from './observer.js';
export {
  type DeadLetter,
  type DestinationReport,
  type EndedSubscription,
  Outbox,
  type OutboxOptions,
} from './outbox.js';
export { createRelay, type Relay, type RelayOptions, type WakeUps } from './relay.js';
export { migrateOutbox } from './schema.js';
