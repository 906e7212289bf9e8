import test from 'ava';
import { type Engine, engines, openEngine } from '../helpers/databases/engines.js';

const both = [
  'BEGIN',
  'start transaction',
  'START /* */ TRANSACTION',
  'COMMIT',
  "COMMIT PREPARED 'here'",
  'END',
  'Rollback;',
  'ROLLBACK TO here',
  'ABORT',
  'SAVEPOINT here',
  'RELEASE here',
  '\ufeff /* done */ ; -- now\n COMMIT',
];
const own: Record<Engine, readonly string[]> = {
  sqlite: [
    "ATTACH 'other.db' AS other",
    'DETACH other',
    'PRAGMA query_only = 1',
    'PRAGMA main.synchronous=OFF',
    'pragma /* */ foreign_keys (0)',
    'PRAGMA "locking_mode" = EXCLUSIVE',
    'EXPLAIN PRAGMA query_only = 1',
    'explain /* */ query plan PRAGMA main.foreign_keys(0)',
    '/* /* */ COMMIT',
    '/* /*/ COMMIT',
    '/*/**\t/*/END',
  ],
  postgres: [
    'SET TRANSACTION READ ONLY',
    'SET/**/LOCAL transaction_isolation = serializable',
    'SET LOCAL "transaction_read_only" TO on',
    'SET transaction_isolation TO serializable',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
    "SET search_path = 'tenant'",
    'SET ROLE nobody',
    'RESET ALL',
    "PREPARE TRANSACTION 'here'",
    '/* one /* two */ still one */ COMMIT',
    '-- a comment that ends with a carriage return\rCOMMIT',
  ],
};
const allowed: Record<Engine, readonly string[]> = {
  sqlite: [
    'PRAGMA user_version = 7',
    'PRAGMA table_info(notes)',
    'PRAGMA journal_mode',
    '/* BEGIN */ SELECT 1',
    'EXPLAIN BEGIN',
    'EXPLAIN QUERY PLAN SELECT 1',
  ],
  postgres: [
    'SET LOCAL search_path = public',
    'SET CONSTRAINTS ALL DEFERRED',
    '/* /* */ BEGIN */ SELECT 1',
    'EXPLAIN SELECT 1',
  ],
};

for (const engine of engines) {
  test(`${engine}: a statement that controls transactions is refused and takes no effect`, async (t) => {
    const { database } = await openEngine(t, engine);
    await database.query('CREATE TABLE notes (id BIGINT)');
    const refused = { instanceOf: TypeError, message: /^the database handle refuses [A-Z]+: .+/ };
    for (const text of [...both, ...own[engine]]) {
      await t.throwsAsync(database.query(text), refused, text);
      const rolledBack = database.transaction(async () => {
        await database.query('INSERT INTO notes VALUES (1)');
        await t.throwsAsync(database.query(text), refused, text);
        throw new Error('rolled back');
      });
      await t.throwsAsync(rolledBack, { message: 'rolled back' });
      await t.throwsAsync(database.migrate('notes', [text]), refused, text);
    }
    t.deepEqual(await database.query('SELECT id FROM notes'), []);
    for (const text of allowed[engine])
      await t.notThrowsAsync(database.transaction(() => database.query(text)));
    await database.query('/* BEGIN */ INSERT INTO notes VALUES (2)');
    t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 2n }]);
  });

  test(`${engine}: a refusal names the method to use, and not the values of the statement`, async (t) => {
    const { database } = await openEngine(t, engine);
    const error = await t.throwsAsync(database.query("COMMIT; INSERT INTO cards VALUES ('4111')"));
    t.regex(String(error), /refuses COMMIT: transaction\(\)/);
    t.false(String(error).includes('4111'));
  });

  test(`${engine}: a text with two statements has no effect`, async (t) => {
    const { database } = await openEngine(t, engine);
    await database.query('CREATE TABLE notes (id BIGINT)');
    const text = 'INSERT INTO notes VALUES (1); COMMIT';
    const multiple = { any: true, message: /more than one statement|multiple commands/ } as const;
    await t.throwsAsync(database.query(text), multiple);
    const unit = database.transaction(async () => {
      await database.query('INSERT INTO notes VALUES (2)');
      await t.throwsAsync(database.query(text), multiple);
    });
    await t.throwsAsync(unit, { code: 'REPLAY_GUARD_UNIT_OF_WORK' });
    t.deepEqual(await database.query('SELECT id FROM notes'), []);
  });
}

test('postgres: a procedure or a block that commits fails inside a transaction', async (t) => {
  const { database } = await openEngine(t, 'postgres');
  await database.query('CREATE TABLE notes (id BIGINT)');
  const body = 'BEGIN INSERT INTO notes VALUES (1); COMMIT; END';
  await database.query(`CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ ${body} $$`);
  for (const text of ['CALL commits()', `DO $$ ${body} $$`]) {
    await t.throwsAsync(
      database.transaction(() => database.query(text)),
      { code: '2D000' },
    );
  }
  t.deepEqual(await database.query('SELECT id FROM notes'), []);
});

test('sqlite: a statement that rolls the shared transaction back tells every call that nothing was done', async (t) => {
  const { database } = await openEngine(t, 'sqlite');
  await database.query('CREATE TABLE notes (id BIGINT PRIMARY KEY)');
  await database.query('INSERT INTO notes VALUES (0)');
  const write = (id: number) =>
    database.transaction(() => database.query('INSERT INTO notes VALUES ($1)', [id]));
  const swallowing = database.transaction(async () => {
    await t.throwsAsync(database.query('INSERT OR ROLLBACK INTO notes VALUES (0)'), { any: true });
    await t.throwsAsync(database.query('INSERT INTO notes VALUES (3)'));
  });
  // The units wait for the commit of the group, in which the statement rolls the whole transaction back.
  const units = await Promise.allSettled([write(1), write(2), swallowing, write(4)]);
  const committed = (await database.query('SELECT id FROM notes ORDER BY id')).map(({ id }) => Number(id));
  const told = units.flatMap(({ status }, index) => (status === 'fulfilled' ? [index + 1] : []));
  t.deepEqual(committed, [0, ...told]);
  t.is(units[2]?.status, 'rejected');
});

test('sqlite: a transaction cannot continue or commit after a failed rollback to its savepoint', async (t) => {
  const { database } = await openEngine(t, 'sqlite');
  await database.query('CREATE TABLE notes (id BIGINT PRIMARY KEY)');
  const insert = (id: number, verb = 'INSERT') => database.query(`${verb} INTO notes VALUES (${id})`);
  await insert(0);
  for (const goesOn of [true, false]) {
    const outer = database.transaction(async () => {
      await insert(1);
      // SQLite rolls the whole transaction back, so the savepoint of the nested transaction does not exist any more.
      const nested = database.transaction(() => insert(0, 'INSERT OR ROLLBACK'));
      await t.throwsAsync(nested, { any: true, message: /UNIQUE/ });
      if (goesOn) await t.throwsAsync(insert(2), { code: 'REPLAY_GUARD_UNIT_OF_WORK' });
    });
    await t.throwsAsync(outer, { code: 'REPLAY_GUARD_DATABASE_UNAVAILABLE' });
  }
  t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 0n }]);
});
