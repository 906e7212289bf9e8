import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { Registry } from 'prom-client';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { named, openReceiver, type Receiver, RecordingObserver } from './receiver.js';

const emptied = emptiedData(test);
const day = 86_400_000;
const insert = `INSERT INTO replay_guard_messages (id, expires_at) VALUES ($1, $2)`;

/** Controls the clock and the interval of consumers that are created afterwards. */
function controlTime(t: ExecutionContext) {
  mock.timers.enable({ apis: ['setInterval'] });
  t.teardown(() => mock.timers.reset());
  let now = Date.now();
  return {
    clock: () => now,
    advance: (ms: number) => {
      now += ms;
    },
    minutePasses: () => mock.timers.tick(60_000),
  };
}

/** Inserts records of messages that expire at `expiresAtMs`. */
async function insertRecords({ database }: Receiver, count: number, expiresAtMs: number): Promise<void> {
  await database.transaction(async () => {
    const id = (index: number) => Buffer.from(`${expiresAtMs}:${index}`);
    for (let index = 0; index < count; index++) await database.query(insert, [id(index), expiresAtMs]);
  });
}

for (const engine of engines) {
  test.serial(
    `${engine}: the record of a message is deleted 7 days after the processing, not earlier`,
    async (t) => {
      const { clock, advance, minutePasses } = controlTime(t);
      const observer = new RecordingObserver();
      const options = { clock, observer };
      const { deliver, recorded } = await openReceiver(t, await emptied(t, engine), { options });
      const purged = async (runs: number) => {
        minutePasses();
        await poll('a run of the pruner', () => observer.purged.length === runs);
      };
      await deliver('early');
      advance(day);
      await deliver('late');
      advance(6 * day - 1);
      await purged(1);
      t.is(await deliver('early'), 'duplicate');
      advance(1);
      await purged(2);
      t.is(await deliver('early'), 'processed');
      t.is(await deliver('late'), 'duplicate');
      t.deepEqual(observer.purged, [0, 1]);
      t.is(await recorded(), 2);
    },
  );

  test.serial(`${engine}: each consumer applies its own retention`, async (t) => {
    const { clock, advance, minutePasses } = controlTime(t);
    const data = await emptied(t, engine);
    const observer = new RecordingObserver();
    const brief = { options: { clock, observer, retentionMs: 60_000 } };
    const [short, long] = [
      await openReceiver(t, data, brief),
      await openReceiver(t, data, { options: { clock } }),
    ];
    await short.deliver('short');
    await long.deliver('long');
    advance(60_000);
    minutePasses();
    await poll('a run of the pruner', () => observer.purged.length > 0);
    await poll('the first record is deleted', async () => (await short.recorded()) === 1);
    t.is(await short.deliver('long'), 'duplicate');
  });

  test.serial(`${engine}: the pruner deletes in batches while messages are processed`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new RecordingObserver();
    const options = { clock, observer };
    const data = await emptied(t, engine);
    const receiver = await openReceiver(t, data, { options });
    await insertRecords(receiver, 1_200, clock());
    await insertRecords(receiver, 10, clock() + 1);
    minutePasses();
    const messages = Array.from({ length: 20 }, (_, index) => `m${index}`);
    const outcomes = await Promise.all(messages.map((message) => receiver.deliver(message)));
    t.deepEqual(new Set(outcomes), new Set(['processed']));
    const purged = () => observer.purged.reduce((sum, count) => sum + count, 0);
    await poll('the purge', () => purged() === 1_200);
    t.is(observer.purged[0], 100);
    t.true(observer.purged.length >= 4, `batches of ${observer.purged}`);
    t.is(await receiver.recorded(), 30);
  });

  test.serial(`${engine}: records with the same expiry are deleted over several batches`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new RecordingObserver();
    const receiver = await openReceiver(t, await emptied(t, engine), { options: { clock, observer } });
    await insertRecords(receiver, 450, clock() - 1);
    await insertRecords(receiver, 450, clock());
    minutePasses();
    await poll('the purge', async () => (await receiver.recorded()) === 0);
    t.deepEqual(observer.failures, []);
  });

  test.serial(`${engine}: concurrent pruners delete each record once`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const data = await emptied(t, engine);
    const observers = [new RecordingObserver(), new RecordingObserver()];
    const open = (observer: RecordingObserver) =>
      openReceiver(t, data, { options: { clock, observer }, engine: { lockTimeoutMs: 20_000 } });
    const [receiver] = [
      await open(observers[0] as RecordingObserver),
      await open(observers[1] as RecordingObserver),
    ];
    await insertRecords(receiver, 1_100, clock());
    await insertRecords(receiver, 10, clock() + 1);
    await poll('all expired records are deleted', async () => {
      minutePasses();
      return (await receiver.recorded()) === 10;
    });
    const batches = () => observers.flatMap(({ purged }) => purged);
    await poll(
      'all deleted records are counted',
      () => batches().reduce((sum, count) => sum + count, 0) === 1_100,
    );
    t.true(batches().every((count) => count <= 1_000));
    t.deepEqual(
      observers.flatMap(({ failures }) => failures),
      [],
    );
  });

  test.serial(
    `${engine}: a failed run of the pruner is reported, and the next run deletes the records`,
    async (t) => {
      const { clock, minutePasses } = controlTime(t);
      const observer = new RecordingObserver();
      const options = { clock, observer };
      const receiver = await openReceiver(t, await emptied(t, engine), { options });
      await insertRecords(receiver, 1, clock());
      const { database } = receiver;
      await database.query('ALTER TABLE replay_guard_messages RENAME TO away');
      minutePasses();
      await poll('the failure is reported', () => observer.failures.length === 1);
      await database.query('ALTER TABLE away RENAME TO replay_guard_messages');
      minutePasses();
      await poll('the purge', () => observer.purged.length === 1);
      t.deepEqual([observer.purged, observer.failures.length], [[1], 1]);
    },
  );

  test.serial(`${engine}: close waits for the running batch of the pruner and starts no other`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new RecordingObserver();
    const receiver = await openReceiver(t, await emptied(t, engine), { options: { clock, observer } });
    await insertRecords(receiver, 600, clock());
    minutePasses();
    // The run has started when the close is called.
    await Promise.resolve();
    await receiver.consumer.close();
    t.deepEqual(observer.purged, [100]);
    minutePasses();
    t.is(await receiver.recorded(), 500);
  });

  test.serial(`${engine}: deliveries are counted by consumer and outcome only`, async (t) => {
    const { clock, advance, minutePasses } = controlTime(t);
    const register = new Registry();
    const options = { clock, observer: createPrometheusConsumerObserver(register) };
    const data = await emptied(t, engine);
    const receiver = await openReceiver(t, data, { options });
    const { deliver, consumer } = receiver;
    const scrape = async () =>
      (await register.metrics()).split('\n').filter((line) => /^replay_guard_/.test(line));
    const barrier = new Barrier();
    await deliver('secret-id');
    for (const _ of [1, 2]) await deliver('secret-id');
    await t.throwsAsync(deliver('n', { before: () => Promise.reject(new Error('no')) }));
    await deliver({ ...named('n'), consumer: 'mailer' });
    if (engine === 'postgres') {
      const held = deliver('held', { after: () => barrier.pass() });
      await barrier.reached();
      await t.throwsAsync(deliver('held'), { name: 'MessageInProgressError' });
      barrier.open();
      await held;
    }
    await t.throwsAsync(consumer.processOnce(named(''), async () => {}));
    advance(7 * day);
    minutePasses();
    const [processed, purged] = engine === 'postgres' ? [2, 3] : [1, 2];
    const count = (name: string, outcome: string, number: number) =>
      `replay_guard_messages_total{consumer="${name}",outcome="${outcome}"} ${number}`;
    const expected = [
      count('mailer', 'processed', 1),
      ...['duplicate', 'failed', 'in_progress'].map((outcome) => count('mailer', outcome, 0)),
      count('receiver', 'duplicate', 2),
      count('receiver', 'failed', 2),
      count('receiver', 'in_progress', engine === 'postgres' ? 1 : 0),
      count('receiver', 'processed', processed),
      'replay_guard_messages_purge_failures_total 0',
      `replay_guard_messages_purged_total ${purged}`,
    ];
    await poll('the purge', async () =>
      (await scrape()).includes(`replay_guard_messages_purged_total ${purged}`),
    );
    t.deepEqual((await scrape()).sort(), expected.sort());
    t.notRegex(await register.metrics(), /secret|queue/, 'no message id and no scope');
  });
}

test.serial('postgres: messages that another transaction deletes do not fail the pruner', async (t) => {
  const { clock, minutePasses } = controlTime(t);
  const observer = new RecordingObserver();
  const data = await emptied(t, 'postgres');
  const options = { clock, observer };
  const receiver = await openReceiver(t, data, { options, engine: { lockTimeoutMs: 50 } });
  const { database } = await data.open();
  await insertRecords(receiver, 150, clock());
  const barrier = new Barrier();
  const deleting = database.transaction(async () => {
    await database.query('DELETE FROM replay_guard_messages');
    await barrier.pass();
  });
  await barrier.reached();
  minutePasses();
  await poll('a run of the pruner', () => observer.purged.length > 0);
  barrier.open();
  await deleting;
  t.deepEqual([observer.purged, observer.failures], [[0], []]);
  t.is(await receiver.recorded(), 0);
});

test('a retention below one minute or not a whole number is refused', async (t) => {
  const database = {} as Parameters<typeof createConsumer>[0]['database'];
  for (const retentionMs of [0, -1, 59_999, Number.NaN, Number.POSITIVE_INFINITY, 60_000.5]) {
    const refused = { instanceOf: TypeError, message: /^retentionMs must be/ };
    await t.throwsAsync(createConsumer({ database, retentionMs }), refused, String(retentionMs));
    // A record that expires at once would not stop a duplicate.
    const processed = processOnce(database, named('m'), async () => t.fail(), { retentionMs });
    await t.throwsAsync(processed, refused, String(retentionMs));
  }
});
