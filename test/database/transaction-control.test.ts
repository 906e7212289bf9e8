import test from 'ava';
import { engines, openEngine } from '../helpers/databases/engines.js';

const controls = [
  'BEGIN',
  'start transaction',
  'COMMIT',
  'END',
  'Rollback;',
  'ABORT',
  'SAVEPOINT here',
  'RELEASE here',
  'SET TRANSACTION READ ONLY',
  "PREPARE TRANSACTION 'here'",
  '/* done */ ; -- now\n COMMIT',
];

for (const engine of engines) {
  test(`${engine}: a statement that controls transactions is refused and takes no effect`, async (t) => {
    const { database } = await openEngine(t, engine);
    await database.query('CREATE TABLE notes (id BIGINT)');
    const refused = { instanceOf: TypeError, message: /transaction\(\)/ };
    for (const text of controls) {
      await t.throwsAsync(database.query(text), refused);
      const rolledBack = database.transaction(async () => {
        await database.query('INSERT INTO notes VALUES (1)');
        await t.throwsAsync(database.query(text), refused);
        throw new Error('rolled back');
      });
      await t.throwsAsync(rolledBack, { message: 'rolled back' });
    }
    t.deepEqual(await database.query('SELECT id FROM notes'), []);
    await database.query('/* BEGIN */ INSERT INTO notes VALUES (2)');
    t.deepEqual(await database.query('SELECT id FROM notes'), [{ id: 2n }]);
  });
}
