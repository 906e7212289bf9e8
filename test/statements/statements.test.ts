import test, { type ExecutionContext } from 'ava';
import { freshData } from '../helpers/databases/engines.js';
import { addressOf, needsOf } from './needs.js';
import { sqlTexts } from './sql-texts.js';
import { calls, type ListedStatement, patternOf, statements } from './statement-list.js';
import { sentStatements } from './workload.js';

const ends: (() => void | Promise<void>)[] = [];
let sent: Promise<string[]> | undefined;
test.after.always(async () => {
  for (const end of ends.reverse()) await end();
});

/** Runs the workload once for all tests. Resolves to the statements that it sent. */
function allSent(t: ExecutionContext): Promise<string[]> {
  const fresh = () => freshData({ teardown: (end) => ends.push(end) }, 'postgres');
  sent ??= Promise.all([fresh(), fresh()]).then(([data, earlier]) => sentStatements(t, data, earlier));
  return sent;
}

const listedFor = (text: string): ListedStatement[] =>
  statements.filter((statement) => patternOf(statement).test(text));

test.serial('each statement that the library sends to Postgres has one entry in the list', async (t) => {
  for (const text of await allSent(t)) t.is(listedFor(text).length, 1, text);
});

test.serial('each statement in the list is sent', async (t) => {
  const texts = await allSent(t);
  const unsent = statements.filter((statement) => !texts.some((text) => patternOf(statement).test(text)));
  t.deepEqual(unsent, []);
});

test.serial('each statement needs what its entry in the list says, and nothing else', async (t) => {
  for (const text of await allSent(t)) {
    const [{ address, needs } = {}] = listedFor(text);
    t.deepEqual({ address: addressOf(text), needs: needsOf(text) }, { address, needs }, text);
  }
});

/** Pieces of SQL that only SQLite gets, the text of an error, and a pattern of names. */
const notSent = [
  { path: 'interceptors/consumer/pruner.ts', text: 'rowid IN (SELECT value FROM json_each($1))' },
  {
    path: 'interceptors/database/postgres/tables.ts',
    text: "(\\\\b(?:FROM|JOIN|INTO|UPDATE|TABLE|EXISTS|ON)\\\\s+|')(",
  },
  {
    path: 'interceptors/database/refused-statements.ts',
    text: 'the setting would stay on a connection that other calls use; use SET LOCAL inside transaction()',
  },
  {
    path: 'interceptors/outbox/sql/statements.ts',
    text: '(SELECT value AS destination FROM json_each($6)) AS route',
  },
];

test.serial(
  'each piece of SQL in the sources of the library is part of a statement that was sent',
  async (t) => {
    const texts = await allSent(t);
    const unsent = sqlTexts().filter(({ text }) => !texts.some((one) => one.includes(text)));
    t.deepEqual(unsent, notSent);
  },
);

test('a statement of a guarded call addresses one record, and needs no CTE, SKIP LOCKED or clock in DO UPDATE', (t) => {
  const foreign = ['CTE', 'SKIP LOCKED', 'advisory lock', 'clock in DO UPDATE'];
  for (const { text, address, needs } of calls) {
    t.is(address, 'one record by (scope, id)', text);
    t.deepEqual(
      needs.filter((need) => foreign.includes(need)),
      [],
      text,
    );
  }
});
