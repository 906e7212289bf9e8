import {
  type Consumer,
  createConsumer,
  type Database,
  type DatabaseUnavailableError,
  MessageInProgressError,
  MessageInvalidError,
  type MessageName,
  type ProcessResult,
  processOnce,
} from 'grpc-replay-guard/consumer';
import { expectType } from '../expect-type.js';

declare const database: Database;
const message: MessageName = { consumer: 'stock', messageId: '1', scope: 'warehouse' };

// The value is known only of a processed message.
const result: ProcessResult<number> = await processOnce(database, message, async () => 1);
if (result.outcome === 'processed') {
  expectType<number>()(result.value);
} else {
  expectType<'duplicate'>()(result.outcome);
  // @ts-expect-error a duplicate has no value
  result.value;
}
// @ts-expect-error the outcome was not checked
result.value;
// @ts-expect-error the work is asynchronous
processOnce(database, message, () => 1);
// @ts-expect-error the message has no scope
processOnce(database, { consumer: 'stock', messageId: '1' }, async () => 1);
processOnce(database, message, async () => 1, { retentionMs: 3_600_000 });
// @ts-expect-error an unknown option
processOnce(database, message, async () => 1, { ttlMs: 3_600_000 });

const consumer: Consumer = await createConsumer({ database, retentionMs: 3_600_000 });
expectType<Promise<ProcessResult<string>>>()(consumer.processOnce(message, async () => 'a'));
expectType<Promise<void>>()(consumer.close());
// @ts-expect-error the database is missing
createConsumer({ retentionMs: 3_600_000 });
// @ts-expect-error an unknown option
createConsumer({ database, ttlMs: 3_600_000 });

// Observers may be partial.
createConsumer({ database, observer: { messagesPurged: (count) => expectType<number>()(count) } });
// @ts-expect-error an unknown method of an observer
createConsumer({ database, observer: { messageProcessed: () => {} } });

const errors: readonly Error[] = [new MessageInProgressError('a'), new MessageInvalidError('a')];
expectType<number>()(errors.length);
const unavailable: DatabaseUnavailableError = new MessageInProgressError('a');
expectType<string>()(unavailable.code);
