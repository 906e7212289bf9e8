export type { Destination, RetryOptions } from './destination/destination.js';
export { RetryLaterError, SubscriptionEndedError, UndeliverableError } from './errors.js';
export type { Attempt, Delivery, NewEvent, OutboxEvent } from './event.js';
export type { ObservedAttempt, OutboxObserver } from './observer.js';
export {
  type DeadLetter,
  type DestinationReport,
  type EndedSubscription,
  Outbox,
  type OutboxOptions,
} from './outbox.js';
export { createRelay, type Relay, type RelayOptions, type WakeUps } from './relay/relay.js';
export { migrateOutbox } from './sql/schema.js';
