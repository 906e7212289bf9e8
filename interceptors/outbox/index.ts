export type { Destination, RetryOptions } from './destination/destination.js';
export { RetryLaterError, SubscriptionEndedError, UndeliverableError } from './errors.js';
export type { Attempt, Delivery, NewEvent, OutboxEvent } from './event.js';
export type { WakeUpObserver, WakeUps } from './notifications.js';
export type { ObservedAttempt, OutboxObserver } from './observer.js';
export { createOutbox, type Outbox, type OutboxOptions } from './outbox.js';
export { createRelay, type Relay, type RelayOptions } from './relay/relay.js';
export type { DeadLetter, DestinationReport, EndedSubscription } from './report.js';
export { migrateOutbox } from './sql/schema.js';
