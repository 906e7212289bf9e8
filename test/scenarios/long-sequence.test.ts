import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { Database } from 'grpc-replay-guard/database';
import { sequenceSettings } from '../helpers/calls/sequence-settings.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { type Engine, engines } from '../helpers/databases/engines.js';
import { type LedgerMethod, methods, openLedger } from '../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);

/** 100,000 by `npm run sequences`. */
const calls = Number(process.env.SEQUENCE_CALLS ?? 300);
/** As many as a producer may have under way. */
const pipelined = 5;

type Ask = (sequence: number) => Promise<{ code: number; bytes?: Buffer | undefined; details: string }>;

/** Numbers its calls, as many under way as it may, some of them repeated. @returns what went wrong */
async function produce(ask: Ask): Promise<string[]> {
  const wrong: string[] = [];
  const one = async (sequence: number) => {
    const first = await ask(sequence);
    if (first.code !== 0) wrong.push(`${sequence}: ${first.details}`);
    if (sequence % 50 !== 0) return;
    const again = await ask(sequence);
    if (!again.bytes?.equals(first.bytes ?? Buffer.alloc(0)))
      wrong.push(`${sequence} again: ${again.details}`);
  };
  // The first call is answered before the second is sent.
  await one(0);
  const underWay: Promise<void>[] = [];
  for (let sequence = 1; sequence < calls; sequence++) {
    if (underWay.length === pipelined) await underWay.shift();
    underWay.push(one(sequence));
  }
  await Promise.all(underWay);
  return wrong;
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
    test.serial(`${engine}: ${calls} calls of one producer by ${method} leave one record`, async (t) => {
      const ledger = await openLedger(t, await emptied(t, engine));
      const { database } = ledger;
      const started = performance.now();
      const producer = randomUUID();
      const ask = (sequence: number) => askWith(method, sequence, producer);
      const askWith = (by: LedgerMethod, sequence: number, name: string) =>
        by === 'append'
          ? ledger.append(undefined, { account: 'a' }, sequenceSettings(name, sequence))
          : ledger.transfer(undefined, { from: 'a' }, sequenceSettings(name, sequence));
      // Another one, whose window has just become full, to compare with.
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
      // Over a few calls somebody's old snapshot may keep all versions there.
      if (engine === 'postgres' && calls >= 10_000)
        t.true(Number(size?.bytes) <= 4 * 1024 ** 2, `${size?.bytes} bytes`);
      t.log(
        `${calls} calls in ${seconds.toFixed(1)} s; window ${windows[0]?.bytes} bytes; ${size?.bytes} bytes on disk`,
      );
    });
  }
}
