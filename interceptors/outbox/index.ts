export type { Destination, RetryOptions } from './destination.js';
export { SubscriptionEndedError, UndeliverableError } from './errors.js';
export type { Attempt, Delivery, NewEvent, OutboxEvent } from './event.js';
export { type ObservedAttempt, type OutboxObserver, silentOutboxObserver } from './observer.js';
export { type DeadLetter, type DestinationReport, Outbox, type OutboxOptions } from './outbox.js';
export { createRelay, type Relay, type RelayOptions, type WakeUps } from './relay.js';
export { outboxSchema } from './schema.js';
