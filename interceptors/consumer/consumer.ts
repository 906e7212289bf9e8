import type { Database } from '../database/database.js';
import { completeObserver } from '../options/observer.js';
import { MessageInProgressError } from './errors.js';
import type { MessageName } from './message.js';
import { type ConsumerObserver, observerMethods } from './observer.js';
import { type ProcessResult, processOnce, retentionOf } from './process-once.js';
import { Retention } from './pruner.js';
import { COMPONENT, schema } from './schema.js';

export interface ConsumerOptions {
  /** Where the messages are recorded, and where the work that they cause writes. */
  readonly database: Database;
  /** Is told what becomes of deliveries. Default: nobody. */
  readonly observer?: Partial<ConsumerObserver>;
  /**
   * How long a processed message is remembered, in milliseconds, at least 1 minute: longer than the broker or the
   * sender delivers one again. Counted from the processing, by `clock`. Default: 7 days.
   */
  readonly retentionMs?: number;
  /** Milliseconds since the epoch. Default: the database's clock. */
  readonly clock?: () => number;
}

/** Processes messages once, and forgets them when their retention is over. */
export interface Consumer {
  /** As the function `processOnce`, with the database and the options of this consumer. */
  processOnce<T>(message: MessageName, work: () => Promise<T>): Promise<ProcessResult<T>>;
  /** Ends the forgetting; deliveries that are being processed are not waited for. */
  close(): Promise<void>;
}

/**
 * Makes the table of processed messages, where it is missing, and a consumer on it. One serves for all messages
 * of a process.
 * @throws DatabaseUnavailableError
 * @throws TypeError the retention is too short
 */
export async function createConsumer(options: ConsumerOptions): Promise<Consumer> {
  const { database, clock } = options;
  const observer = completeObserver(options.observer, observerMethods);
  const retentionMs = retentionOf(options);
  await database.migrate(COMPONENT, schema);
  const retention = new Retention(database, observer, clock);
  return {
    async processOnce(message, work) {
      try {
        const result = await processOnce(database, message, work, {
          retentionMs,
          ...(clock && { clock }),
        });
        observer.deliveryEnded(message.consumer, result.outcome);
        return result;
      } catch (error) {
        const outcome = error instanceof MessageInProgressError ? 'in_progress' : 'failed';
        observer.deliveryEnded(message.consumer, outcome);
        throw error;
      }
    },
    close: () => retention.stop(),
  };
}
