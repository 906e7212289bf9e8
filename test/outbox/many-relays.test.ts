import test, { type ExecutionContext } from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { createRelay, type Outbox } from 'grpc-replay-guard/outbox';
import { administer } from '../helpers/databases/administer.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { engines } from '../helpers/databases/engines.js';
import {
  NEVER_MS,
  nameOf,
  note,
  openOutbox,
  RecordingObserver,
  states,
} from '../helpers/databases/outbox.js';
import { poll } from '../helpers/waiting/poll.js';

const data = emptiedData(test);

const EVENTS = 500;
const AGGREGATES = 50;

/** Records the deliveries of all relays of a test. */
class DeliveryLog {
  readonly delivered = new Map<string, string[]>();
  readonly relays = new Set<number>();
  readonly overlaps: string[] = [];
  readonly #busy = new Set<string>();
  #steps = 0;

  /** Delivers an event for one relay. Some deliveries fail or are slow. One aggregate has one delivery at a time. */
  async deliver(relay: number, event: Parameters<typeof nameOf>[0], attempt: number): Promise<void> {
    const { aggregate } = event;
    if (this.#busy.has(aggregate)) this.overlaps.push(aggregate);
    this.#busy.add(aggregate);
    const step = this.#steps++;
    for (let pause = 0; pause < step % 4; pause++) await new Promise(setImmediate);
    this.#busy.delete(aggregate);
    if (step % 10 === 0 && attempt === 1) throw new Error('not this time');
    this.relays.add(relay);
    this.delivered.set(aggregate, [...(this.delivered.get(aggregate) ?? []), nameOf(event)]);
  }
}

async function appendAll({
  database,
  append,
}: {
  database: Database;
  append(number: number): Promise<unknown>;
}) {
  for (let first = 0; first < EVENTS; first += AGGREGATES) {
    await database.transaction(async () => {
      for (let number = first; number < first + AGGREGATES; number++) await append(number);
    });
  }
}

async function race(t: ExecutionContext, outboxes: readonly Outbox[]): Promise<void> {
  const [outbox] = outboxes as [Outbox];
  const log = new DeliveryLog();
  const recorder = new RecordingObserver();
  const relays = outboxes.map((each, index) =>
    createRelay({
      outbox: each,
      destinations: {
        desk: {
          deliveries: { note: (event, { number }) => log.deliver(index, event, number) },
          concurrency: 16,
          retry: { initialBackoffMs: 2 },
        },
      },
      observer: recorder,
      pollMs: 20,
      graceMs: NEVER_MS,
    }),
  );
  for (const relay of relays) relay.start();
  const append = (number: number) => outbox.append(note(`a${number % AGGREGATES}-`, number));
  await appendAll({ database: outbox.database, append });
  await poll('everything is delivered', async () =>
    (await states(outbox.database)).every(([, state]) => state === 'delivered'),
  );
  await Promise.all(relays.map((relay) => relay.stop()));

  t.deepEqual(log.overlaps, [], 'deliveries of one aggregate overlap');
  for (let number = 0; number < AGGREGATES; number++) {
    const aggregate = `a${number}-`;
    const inOrder = Array.from(
      { length: EVENTS / AGGREGATES },
      (_, i) => `${aggregate}${number + i * AGGREGATES}`,
    );
    t.deepEqual(log.delivered.get(aggregate), inOrder);
  }
  t.true(
    recorder.log.some((entry) => entry.startsWith('failed')),
    'some attempts failed and were retried',
  );
  t.false(recorder.log.some((entry) => entry.startsWith('lost') || entry === 'error'));
  t.is(log.relays.size, outboxes.length, 'every relay delivered events');
}

/** Turns fsync off for the test database. Thousands of commits on a slow disk would only take longer. */
async function disableFsync(url: string): Promise<void> {
  await administer(url, `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET synchronous_commit = off`);
}

for (const engine of engines) {
  for (const count of [2, 4]) {
    test.serial(
      `${engine}: ${count} concurrent relays deliver ${EVENTS} events once each and in order`,
      async (t) => {
        const source = await data(t, engine);
        if (engine === 'postgres') await disableFsync(source.url);
        const first = await openOutbox(source);
        // Two SQLite handles in one thread block each other, so the relays share one handle.
        const another = () => (engine === 'sqlite' ? first : openOutbox(source));
        const others = await Promise.all(Array.from({ length: count - 1 }, another));
        await race(t, [first, ...others]);
      },
    );
  }
}
