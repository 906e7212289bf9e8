import type { Database } from '../database/database.js';
import { assertHandle, assertMigrates } from '../options/handle.js';
import { assertKnownOptions } from '../options/known-options.js';
import { completeObserver } from '../options/observer.js';
import { MessageInProgressError } from './errors.js';
import type { MessageName } from './message.js';
import { type ConsumerObserver, consumerObserverMethods, type DeliveryOutcome } from './observer.js';
import { checkedRetention, type ProcessResult, processOnce } from './process-once.js';
import { MessagePruner } from './pruner.js';
import { type MessageHeaders, type MessageTracing, SafeMessageTracing } from './tracing.js';

/** The options of `createConsumer`. */
export interface ConsumerOptions {
  /** The database that records the messages. The work on a message must write through the same handle. */
  readonly database: Database;
  /** One observer or a list. Each receives the outcome of each delivery. Any method may be missing. Default: no observer. */
  readonly observer?: Partial<ConsumerObserver> | readonly Partial<ConsumerObserver>[];
  /** Makes each delivery part of the trace of its message. Default: deliveries are not traced. */
  readonly tracing?: MessageTracing;
  /**
   * How long a processed message is retained, in milliseconds, at least 1 minute. The retention must exceed
   * the time in which the broker or the sender may deliver the message again. Default: 7 days.
   */
  readonly retentionMs?: number;
  /** Returns milliseconds since the epoch. Default: the clock of the database. */
  readonly clock?: () => number;
}

/** Details of a delivery, besides the name of its message. */
export interface DeliveryDetails {
  /**
   * The headers of the message. The tracing reads the trace context of the sender from them. Values may be texts, bytes, or
   * lists of them. Default: no headers.
   */
  readonly headers?: MessageHeaders;
}

/** Processes each message at most once, and deletes its record after the retention. */
export interface Consumer {
  /**
   * Processes a message at most once. Calls the function `processOnce` with the database, the retention and the clock
   * of this consumer.
   * @throws TypeError when a detail of the delivery is unknown
   */
  processOnce<T>(
    message: MessageName,
    work: () => Promise<T>,
    details?: DeliveryDetails,
  ): Promise<ProcessResult<T>>;
  /** Stops the pruner. Resolves when its current batch has ended. Deliveries in progress continue. */
  close(): Promise<void>;
}

/** The name of the consumer in the list of migrated components, `replay_guard_schema`. */
const COMPONENT = 'grpc-replay-guard/consumer';

/** The migration steps of the table of processed messages. A released step never changes. */
const schema: readonly string[] = [
  `CREATE TABLE replay_guard_messages (
    expires_at BIGINT NOT NULL,
    id BYTEA NOT NULL PRIMARY KEY
  )`,
  'CREATE INDEX replay_guard_messages_expiry ON replay_guard_messages (expires_at)',
];

/**
 * Creates the table of processed messages, or migrates it to the current version. `createConsumer` does the same.
 * @throws SchemaError when a step is missing and may not be applied, or was changed after it had been applied
 * @throws DatabaseUnavailableError when the table cannot be created
 */
export function migrateConsumer(database: Pick<Database, 'migrate'>): Promise<void> {
  assertMigrates('migrateConsumer', database);
  return database.migrate(COMPONENT, schema);
}

/**
 * Creates a consumer, and the table of processed messages if the table is missing. One consumer per process
 * is enough for all messages.
 * @throws TypeError when an option is unknown, a method of the observer is not a function, or the retention
 *   is too short
 * @throws DatabaseUnavailableError when the table cannot be created
 */
export async function createConsumer(options: ConsumerOptions): Promise<Consumer> {
  assertKnownOptions<ConsumerOptions>('createConsumer', options, {
    database: true,
    observer: true,
    tracing: true,
    retentionMs: true,
    clock: true,
  });
  const { database, clock } = options;
  const observer = completeObserver(options.observer, consumerObserverMethods);
  const tracing = options.tracing && new SafeMessageTracing(options.tracing);
  const retentionMs = checkedRetention(options);
  assertHandle('createConsumer', database);
  await migrateConsumer(database);
  const pruner = new MessagePruner(database, observer, clock);
  pruner.start();
  return {
    async processOnce(message, work, details = {}) {
      assertKnownOptions<DeliveryDetails>('processOnce', details, { headers: true });
      const process = () => processOnce(database, message, work, { retentionMs, ...(clock && { clock }) });
      try {
        const result = await (tracing
          ? tracing.delivered(message.consumer, details.headers ?? {}, process, outcomeOf)
          : process());
        observer.deliveryEnded(message.consumer, result.outcome);
        return result;
      } catch (error) {
        observer.deliveryEnded(message.consumer, outcomeOf(error));
        throw error;
      }
    },
    close: () => pruner.stop(),
  };
}

function outcomeOf(error: unknown): DeliveryOutcome {
  return error instanceof MessageInProgressError ? 'in_progress' : 'failed';
}
