export { CommitInDoubtError, DatabaseUnavailableError } from '../replay-guard/stores/errors.js';
export type { Database } from '../replay-guard/stores/sql/database.js';
export { type Consumer, type ConsumerOptions, createConsumer } from './consumer.js';
export { MessageInProgressError, MessageInvalidError } from './errors.js';
export type { MessageName } from './message.js';
export { type ConsumerObserver, type DeliveryOutcome, silentObserver } from './observer.js';
export { type ProcessOptions, type ProcessResult, processOnce } from './process-once.js';
