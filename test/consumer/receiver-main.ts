// Receives deliveries in a process of its own, for tests that kill it. Its argument is ReceiverSettings as JSON.
import { createConsumer } from 'grpc-replay-guard/consumer';
import { openUrl } from '../helpers/databases/open-url.js';
import { type Attempt, chances, flakyWork, forEach, insist } from './flaky-work.js';
import type { ReceiverSettings, Told } from './receiver-process.js';

const settings: ReceiverSettings = JSON.parse(String(process.argv[2]));
const { url, messages, deliveries, seed, stuckAt } = settings;
const tell = (told: Told) => process.send?.(told);
process.once('disconnect', () => process.exit());

const { database, close } = await openUrl(url, { maxConnections: 10, lockTimeoutMs: 10_000 });
const consumer = await createConsumer({ database });
const chance = chances(seed);
let [works, processed] = [0, 0];
const work = flakyWork(database, chance, async () => {
  if (stuckAt === undefined || ++works < stuckAt || processed === 0) return;
  tell({ stuck: true });
  await new Promise(() => {});
});

async function deliver(message: string): Promise<void> {
  const attempts: [string, Attempt][] = [];
  const note = (attempt: Attempt) => {
    attempts.push([message, attempt]);
    if (attempt === 'processed') processed++;
  };
  const once = () => insist(consumer, message, work, note);
  await Promise.all(Array.from({ length: deliveries }, once));
  tell({ attempts });
}

// Everybody in an order of its own.
const shuffled = messages.map((message) => ({ message, at: chance() })).sort((a, b) => a.at - b.at);
await forEach(
  shuffled.map(({ message }) => message),
  4,
  deliver,
);
await consumer.close();
await close();
process.disconnect();
