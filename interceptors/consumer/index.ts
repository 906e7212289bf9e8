export type { Database } from '../database/database.js';
export { CommitInDoubtError, DatabaseUnavailableError } from '../database/errors.js';
export {
  type Consumer,
  type ConsumerOptions,
  createConsumer,
  type DeliveryDetails,
  migrateConsumer,
} from './consumer.js';
export { MessageInProgressError, MessageInvalidError } from './errors.js';
export type { MessageName } from './message.js';
export type { ConsumerObserver, DeliveryOutcome } from './observer.js';
export { type ProcessOptions, type ProcessResult, processOnce } from './process-once.js';
export type { MessageHeaders, MessageTracing, TracedDelivery } from './tracing.js';
