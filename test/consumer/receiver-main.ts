// The program of a receiver process that tests can kill. Its argument is ReceiverSettings as JSON.
import { createConsumer } from 'grpc-replay-guard/consumer';
import { openUrl } from '../helpers/databases/open-url.js';
import { seededRandom } from '../helpers/faults/seeded-random.js';
import { type Attempt, deliverUntilAcknowledged, flakyWork, forEach } from './flaky-work.js';
import type { ReceiverMessage, ReceiverSettings } from './receiver-process.js';

const settings: ReceiverSettings = JSON.parse(String(process.argv[2]));
const { url, messages, deliveries, seed, stuckAt } = settings;
const report = (message: ReceiverMessage) => process.send?.(message);
process.once('disconnect', () => process.exit());

const { database, close } = await openUrl(url, { maxConnections: 10, lockTimeoutMs: 10_000 });
const consumer = await createConsumer({ database });
const random = seededRandom(seed);
let [workCalls, processed] = [0, 0];
const work = flakyWork(database, random, async () => {
  if (stuckAt === undefined || ++workCalls < stuckAt || processed === 0) return;
  report({ stuck: true });
  await new Promise(() => {});
});

async function deliver(message: string): Promise<void> {
  const attempts: [string, Attempt][] = [];
  const note = (attempt: Attempt) => {
    attempts.push([message, attempt]);
    if (attempt === 'processed') processed++;
  };
  const once = () => deliverUntilAcknowledged(consumer, message, work, note);
  await Promise.all(Array.from({ length: deliveries }, once));
  report({ attempts });
}

// Each receiver uses an order of its own.
const shuffled = messages.map((message) => ({ message, at: random() })).sort((a, b) => a.at - b.at);
await forEach(
  shuffled.map(({ message }) => message),
  4,
  deliver,
);
await consumer.close();
await close();
process.disconnect();
