import test from 'ava';
import { createPgPool } from 'grpc-replay-guard/pg';
import pg from 'pg';
import { engines } from '../helpers/databases/engines.js';
import { sharedData } from '../helpers/databases/shared-data.js';
import { type Random, seededRandom } from '../helpers/faults/seeded-random.js';

const PROGRAMS = Number(process.env.PROGRAMS ?? 25);
/** The seeds of programs that have found a fault. */
const known = [946_100];
const dataOf = sharedData(test);

/** What a program runs on: a client of pg, or a client of the pool of the handle. */
interface Client {
  query(text: string): Promise<{ readonly rowCount: number | null; readonly command: string }>;
}

/** A statement and what pg answers: the number of affected rows, or undefined for a failure. */
interface Step {
  readonly text: string;
  readonly answer: number | undefined;
}

/** Runs a statement. A COMMIT that Postgres answers with ROLLBACK counts as a failure. */
async function answerOf(client: Client, text: string): Promise<number | undefined> {
  try {
    const { rowCount, command } = await client.query(text);
    return /^(COMMIT|END)/.test(text) && command === 'ROLLBACK' ? undefined : (rowCount ?? 0);
  } catch {
    return undefined;
  }
}

/** Chooses statements that are valid behind the answers before, and runs them on pg. Some inserts violate the key. */
async function runAtRandom(client: Client, random: Random): Promise<Step[]> {
  const below = (limit: number) => Math.floor(random() * limit);
  const steps: Step[] = [];
  /** The names of the open savepoints. Undefined outside of a transaction. */
  let open: string[] | undefined;
  const choose = (): string => {
    if (below(2) === 0)
      return below(8) === 0 ? 'DELETE FROM notes' : `INSERT INTO notes (id) VALUES (${below(12)})`;
    if (!open) return 'BEGIN';
    const name = open[below(open.length)];
    const ends = ['COMMIT', 'ROLLBACK', 'END'];
    if (below(4) === 0) return ends[below(ends.length)] as string;
    if (name === undefined || below(2) === 0) return `SAVEPOINT ${['a', 'b'][below(2)]}`;
    return below(2) === 0 ? `RELEASE ${name}` : `ROLLBACK TO ${name}`;
  };
  const note = (text: string, isDone: boolean) => {
    const [, command, name = ''] =
      /^(BEGIN|SAVEPOINT|RELEASE|ROLLBACK TO|ROLLBACK|COMMIT|END) ?(\w*)$/.exec(text) ?? [];
    if (command === 'BEGIN') open = [];
    else if (command === 'SAVEPOINT' && isDone) open?.push(name);
    else if (command === 'RELEASE' && isDone) open = open?.slice(0, open.lastIndexOf(name));
    else if (command === 'ROLLBACK TO') open = open?.slice(0, open.lastIndexOf(name) + 1);
    else if (/^(ROLLBACK|COMMIT|END)$/.test(text)) open = undefined;
  };
  const length = 6 + below(20);
  while (steps.length < length || open) {
    const text = steps.length < length ? choose() : 'COMMIT';
    const answer = await answerOf(client, text);
    steps.push({ text, answer });
    note(text, answer !== undefined);
  }
  return steps;
}

for (const engine of engines) {
  test(`${engine}: random transactions of a client give the same answers and rows as pg`, async (t) => {
    const postgres = await dataOf(t, 'postgres');
    const reference = new pg.Client({ connectionString: postgres.url });
    await reference.connect();
    t.teardown(() => reference.end());
    // The tables of the two clients have one name in two schemas.
    await reference.query(`CREATE SCHEMA ${engine}; SET search_path TO ${engine}`);
    await reference.query('CREATE TABLE notes (id INTEGER PRIMARY KEY)');
    const { database } = await (await dataOf(t, engine)).open();
    await database.query('CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY)');
    const pool = createPgPool(database);
    const ids = async (from: Client) =>
      ((await from.query('SELECT id FROM notes ORDER BY id')) as pg.QueryResult<{ id: number }>).rows.map(
        ({ id }) => id,
      );

    const seed = Number(process.env.PROGRAMS_SEED ?? Date.now() % 1e6);
    for (const own of [...known, ...Array.from({ length: PROGRAMS }, (_, index) => seed + index)]) {
      const steps = await runAtRandom(reference, seededRandom(own));
      const program = steps.map(({ text, answer }) => `${text}: ${answer ?? 'failed'}`).join('\n');
      const expected = await ids(reference);
      await reference.query('DELETE FROM notes');
      for (const waits of ['always', 'never', 'sometimes'] as const) {
        const coin = seededRandom(own + 1);
        const client = await pool.connect();
        const answers: Promise<number | undefined>[] = [];
        for (const { text } of steps) {
          const answer = answerOf(client, text);
          answers.push(answer);
          if (waits === 'always' || (waits === 'sometimes' && coin() < 0.5)) await answer;
        }
        const got = await Promise.all(answers);
        client.release();
        const where = `PROGRAMS_SEED=${own}, the client waits ${waits}\n${program}`;
        t.deepEqual(
          got,
          steps.map(({ answer }) => answer),
          where,
        );
        t.deepEqual(await ids(pool), expected, where);
        await pool.query('DELETE FROM notes');
      }
    }
  });
}
