import test from 'ava';
import {
  type ConsumerOptions,
  createConsumer,
  type DeliveryOutcome,
  MessageInProgressError,
  MessageInvalidError,
  type ProcessOptions,
  processOnce,
} from 'grpc-replay-guard/consumer';
import { freshData } from '../helpers/databases/engines.js';
import { named, openReceiver } from './receiver.js';

/** The checks of options come before any use of the database. */
const database = {} as ConsumerOptions['database'];

test('createConsumer refuses an unknown option by name', async (t) => {
  const options = { database, retention: 60_000 };
  await t.throwsAsync(createConsumer(options), {
    instanceOf: TypeError,
    message: /^createConsumer: unknown option retention; its options are .*\bretentionMs\b/,
  });
});

test('processOnce refuses an unknown option by name and does not call the work', async (t) => {
  const options: object = { ttlMs: 60_000 };
  const processed = processOnce(database, named('m'), async () => t.fail(), options as ProcessOptions);
  await t.throwsAsync(processed, {
    instanceOf: TypeError,
    message: 'processOnce: unknown option ttlMs; its options are retentionMs, clock',
  });
});

test('a consumer works with an observer that has some of the methods', async (t) => {
  const outcomes: DeliveryOutcome[] = [];
  const observers = [{}, { deliveryEnded: (_: string, outcome: DeliveryOutcome) => outcomes.push(outcome) }];
  const data = await freshData(t, 'sqlite');
  for (const [index, observer] of observers.entries()) {
    const { deliver } = await openReceiver(t, data, { options: { observer } });
    t.is(await deliver('m'), index === 0 ? 'processed' : 'duplicate');
  }
  t.deepEqual(outcomes, ['duplicate']);
});

test('createConsumer refuses an observer whose method is not a function', async (t) => {
  const observer = { purgeFailed: true as never };
  await t.throwsAsync(createConsumer({ database, observer }), {
    instanceOf: TypeError,
    message: 'observer: purgeFailed must be a function',
  });
});

test('the errors of a consumer have stable codes', (t) => {
  t.is(new MessageInProgressError('in progress').code, 'REPLAY_GUARD_MESSAGE_IN_PROGRESS');
  t.is(new MessageInvalidError('invalid').code, 'REPLAY_GUARD_MESSAGE_INVALID');
});
