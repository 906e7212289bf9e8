import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { sequenceSettings } from '../helpers/calls/sequence-settings.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../helpers/databases/engines.js';
import { type LedgerMethod, methods, openLedger } from '../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);

/** The number of calls; 100,000 in `npm run sequences`. */
const calls = Number(process.env.SEQUENCE_CALLS ?? 300);
/** The maximum number of concurrent calls of one producer. */
const pipelined = 5;

type Ask = (sequence: number) => Promise<{ code: number; bytes?: Buffer | undefined; details: string }>;

/** Sends pipelined calls with consecutive sequences, and repeats some. Returns the failures. */
async function produce(ask: Ask): Promise<string[]> {
  const failures: string[] = [];
  const one = async (sequence: number) => {
    const first = await ask(sequence);
    if (first.code !== 0) failures.push(`${sequence}: ${first.details}`);
    if (sequence % 50 !== 0) return;
    const again = await ask(sequence);
    if (!again.bytes?.equals(first.bytes ?? Buffer.alloc(0)))
      failures.push(`${sequence} again: ${again.details}`);
  };
  // A series must start with its first call, so the second call waits for the first reply.
  await one(0);
  const running: Promise<void>[] = [];
  for (let sequence = 1; sequence < calls; sequence++) {
    if (running.length === pipelined) await running.shift();
    running.push(one(sequence));
  }
  await Promise.all(running);
  return failures;
}

const windowBytes = 'SELECT length(replies) AS bytes, completed FROM replay_guard_producers';
const countOf = async (database: Database, table: string) =>
  Number((await database.query(`SELECT count(*) AS rows FROM ${table}`))[0]?.rows);
const sizes: Record<Engine, string> = {
  sqlite: 'SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()',
  postgres: "SELECT pg_relation_size('replay_guard_producers') AS bytes",
};

for (const engine of engines) {
  for (const method of methods) {
    test.serial(
      `${engine}: ${calls} calls of one producer to ${method} leave one record of constant size`,
      async (t) => {
        const ledger = await openLedger(t, await emptied(t, engine));
        const { database } = ledger;
        const started = performance.now();
        const producer = randomUUID();
        const ask = (sequence: number) => askWith(method, sequence, producer);
        const askWith = (by: LedgerMethod, sequence: number, name: string) =>
          by === 'append'
            ? ledger.append(undefined, { account: 'a' }, sequenceSettings(name, sequence))
            : ledger.transfer(undefined, { from: 'a' }, sequenceSettings(name, sequence));
        // A second producer, whose window has just become full, is the reference for the size.
        for (let sequence = 0; sequence < pipelined; sequence++) await askWith(method, sequence, 'short');
        t.deepEqual(await produce(ask), []);
        const seconds = (performance.now() - started) / 1_000;
        const windows = await database.query(windowBytes);
        t.deepEqual(
          windows.map(({ completed }) => Number(completed)).sort((a, b) => a - b),
          [4, calls - 1],
        );
        t.is(windows[0]?.bytes, windows[1]?.bytes);
        t.is(await countOf(database, 'replay_guard_records'), 0);
        t.is((await ledger.effects()).length, calls + pipelined);
        const [size] = await database.query(sizes[engine]);
        // In a short run, an old snapshot of another session may keep all row versions.
        if (engine === 'postgres' && calls >= 10_000)
          t.true(Number(size?.bytes) <= 4 * 1024 ** 2, `${size?.bytes} bytes`);
        t.log(
          `${calls} calls in ${seconds.toFixed(1)} s; window ${windows[0]?.bytes} bytes; ${size?.bytes} bytes on disk`,
        );
      },
    );
  }
}
