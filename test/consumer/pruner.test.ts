import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import { createPrometheusConsumerObserver } from 'grpc-replay-guard/consumer/prometheus';
import { Registry } from 'prom-client';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';
import { called, Deliveries, openReceiver, type Receiver } from './receiver.js';

const emptied = emptiedData(test);
const day = 86_400_000;
const insert = `INSERT INTO replay_guard_messages (id, expires_at) VALUES ($1, $2)`;

/** Time for consumers that are made from here on: what they remember, and when they look. */
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

/** Remembers messages that expire at a time, beside those that were delivered. */
async function remember({ database }: Receiver, count: number, expiresAtMs: number): Promise<void> {
  await database.transaction(async () => {
    const id = (index: number) => Buffer.from(`${expiresAtMs}:${index}`);
    for (let index = 0; index < count; index++) await database.query(insert, [id(index), expiresAtMs]);
  });
}

for (const engine of engines) {
  test.serial(
    `${engine}: a message is forgotten a week after it was processed, and not before`,
    async (t) => {
      const { clock, advance, minutePasses } = controlTime(t);
      const observer = new Deliveries();
      const options = { clock, observer };
      const { deliver, remembered } = await openReceiver(t, await emptied(t, engine), { options });
      const purged = async (rounds: number) => {
        minutePasses();
        await poll('a round of purging', () => observer.purged.length === rounds);
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
      t.is(await remembered(), 2);
    },
  );

  test.serial(`${engine}: each consumer's messages are kept for as long as it says`, async (t) => {
    const { clock, advance, minutePasses } = controlTime(t);
    const data = await emptied(t, engine);
    const observer = new Deliveries();
    const brief = { options: { clock, observer, retentionMs: 60_000 } };
    const [short, long] = [
      await openReceiver(t, data, brief),
      await openReceiver(t, data, { options: { clock } }),
    ];
    await short.deliver('short');
    await long.deliver('long');
    advance(60_000);
    minutePasses();
    await poll('a round of purging', () => observer.purged.length > 0);
    await poll('the short one is forgotten', async () => (await short.remembered()) === 1);
    t.is(await short.deliver('long'), 'duplicate');
  });

  test.serial(`${engine}: much is forgotten in batches, while messages go on coming`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new Deliveries();
    const options = { clock, observer };
    const data = await emptied(t, engine);
    const receiver = await openReceiver(t, data, { options });
    await remember(receiver, 1_200, clock());
    await remember(receiver, 10, clock() + 1);
    minutePasses();
    const messages = Array.from({ length: 20 }, (_, index) => `m${index}`);
    const outcomes = await Promise.all(messages.map((message) => receiver.deliver(message)));
    t.deepEqual(new Set(outcomes), new Set(['processed']));
    await poll('the purge', () => observer.purged.length === 3);
    t.deepEqual(observer.purged, [500, 500, 200]);
    t.is(await receiver.remembered(), 30);
  });

  test.serial(`${engine}: servers that forget at once share the work`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const data = await emptied(t, engine);
    const observers = [new Deliveries(), new Deliveries()];
    const open = (observer: Deliveries) =>
      openReceiver(t, data, { options: { clock, observer }, engine: { lockTimeoutMs: 20_000 } });
    const [receiver] = [await open(observers[0] as Deliveries), await open(observers[1] as Deliveries)];
    await remember(receiver, 1_100, clock());
    await remember(receiver, 10, clock() + 1);
    await poll('all of it is gone', async () => {
      minutePasses();
      return (await receiver.remembered()) === 10;
    });
    const batches = () => observers.flatMap(({ purged }) => purged);
    await poll('all of it is counted', () => batches().reduce((sum, count) => sum + count, 0) === 1_100);
    t.true(batches().every((count) => count <= 500));
    t.deepEqual(
      observers.flatMap(({ failures }) => failures),
      [],
    );
  });

  test.serial(`${engine}: a round that fails is told, and the next one makes up for it`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new Deliveries();
    const options = { clock, observer };
    const receiver = await openReceiver(t, await emptied(t, engine), { options });
    await remember(receiver, 1, clock());
    const { database } = receiver;
    await database.query('ALTER TABLE replay_guard_messages RENAME TO away');
    minutePasses();
    await poll('the failure is told', () => observer.failures.length === 1);
    await database.query('ALTER TABLE away RENAME TO replay_guard_messages');
    minutePasses();
    await poll('the purge', () => observer.purged.length === 1);
    t.deepEqual([observer.purged, observer.failures.length], [[1], 1]);
  });

  test.serial(`${engine}: closed, it forgets no more, and the batch that runs is waited for`, async (t) => {
    const { clock, minutePasses } = controlTime(t);
    const observer = new Deliveries();
    const receiver = await openReceiver(t, await emptied(t, engine), { options: { clock, observer } });
    await remember(receiver, 600, clock());
    minutePasses();
    // The round begins in this turn, before the close.
    await Promise.resolve();
    await receiver.consumer.close();
    t.deepEqual(observer.purged, [500]);
    minutePasses();
    t.is(await receiver.remembered(), 100);
  });

  test.serial(`${engine}: what becomes of deliveries is counted, by consumer and outcome only`, async (t) => {
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
    await deliver({ ...called('n'), consumer: 'mailer' });
    if (engine === 'postgres') {
      const held = deliver('held', { after: () => barrier.pass() });
      await barrier.reached();
      await t.throwsAsync(deliver('held'), { name: 'MessageInProgressError' });
      barrier.open();
      await held;
    }
    await t.throwsAsync(consumer.processOnce(called(''), async () => {}));
    advance(7 * day);
    minutePasses();
    const [processed, purged] = engine === 'postgres' ? [2, 3] : [1, 2];
    const count = (name: string, outcome: string, number: number) =>
      `replay_guard_messages_total{consumer="${name}",outcome="${outcome}"} ${number}`;
    const expected = [
      count('mailer', 'processed', 1),
      count('receiver', 'duplicate', 2),
      count('receiver', 'failed', 2),
      ...(engine === 'postgres' ? [count('receiver', 'in_progress', 1)] : []),
      count('receiver', 'processed', processed),
      'replay_guard_messages_purge_failures_total 0',
      `replay_guard_messages_purged_total ${purged}`,
    ];
    await poll('the purge', async () =>
      (await scrape()).includes(`replay_guard_messages_purged_total ${purged}`),
    );
    t.deepEqual((await scrape()).sort(), expected.sort());
    t.notRegex(await register.metrics(), /secret|queue/, 'no id and no scope');
  });
}

test('a retention that makes no sense is refused', async (t) => {
  const database = {} as Parameters<typeof createConsumer>[0]['database'];
  for (const retentionMs of [0, -1, 59_999, Number.NaN, Number.POSITIVE_INFINITY, 60_000.5]) {
    const refused = { instanceOf: TypeError, message: /^retentionMs must be/ };
    await t.throwsAsync(createConsumer({ database, retentionMs }), refused, String(retentionMs));
    // Forgotten at once, a message would be processed at every delivery.
    const processed = processOnce(database, called('m'), async () => t.fail(), { retentionMs });
    await t.throwsAsync(processed, refused, String(retentionMs));
  }
});
