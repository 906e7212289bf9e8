import { randomInt } from 'node:crypto';
import test from 'ava';
import { engines, freshData } from '../helpers/databases/engines.js';
import { openReceiver } from './receiver.js';
import { ReceiverProcess } from './receiver-process.js';

const MESSAGES = Array.from({ length: 100 }, (_, index) => `m${String(index).padStart(2, '0')}`);
const RECEIVERS = 2;
const DELIVERIES = 50;

for (const engine of engines) {
  test(`${engine}: 50 concurrent deliveries of each of 100 messages have 100 effects, despite crashes and a kill`, async (t) => {
    const data = await freshData(t, engine);
    const { effects, recorded } = await openReceiver(t, data);
    const seed = randomInt(2 ** 32);
    t.log(`seed ${seed}`);
    const deliveries = DELIVERIES / RECEIVERS;
    const receiver = (seed: number, stuckAt?: number) =>
      new ReceiverProcess(t, { ...data, messages: MESSAGES, deliveries, seed, stuckAt });
    const victim = receiver(seed, 20);
    await victim.stuck;
    await victim.kill();
    const before = await recorded();
    t.true(before > 0 && before < MESSAGES.length, `${before} messages were processed before the kill`);

    const survivors = Array.from({ length: RECEIVERS }, (_, index) => receiver(seed + index));
    await Promise.all(survivors.map(({ done }) => done));
    for (const { acknowledged } of survivors) {
      t.deepEqual([...new Set(acknowledged)].sort(), MESSAGES);
      t.is(acknowledged.length, (MESSAGES.length * DELIVERIES) / RECEIVERS);
    }
    // One of the two receivers may have started after all messages were processed.
    t.true(survivors.some(({ crashes }) => crashes > 0));
    // Each message has its two effects once.
    const expected = MESSAGES.flatMap((message) => [`${message} first`, `${message} second`]);
    t.deepEqual(await effects(), expected);
    t.is(await recorded(), MESSAGES.length);
  });
}
