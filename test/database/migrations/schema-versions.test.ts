import test from 'ava';
import { SchemaError } from 'grpc-replay-guard/database';
import { engines, freshData } from '../../helpers/databases/engines.js';
import { poll } from '../../helpers/waiting/poll.js';

const first = 'CREATE TABLE notes (id BIGINT)';
const second = 'ALTER TABLE notes ADD COLUMN text TEXT';

for (const engine of engines) {
  test(`${engine}: a current schema is not written to`, async (t) => {
    const data = await freshData(t, engine);
    const { database } = await data.open();
    await database.migrate('notes', [first]);
    const { database: other } = await data.open();
    // A start that would write, or lock, would wait for this transaction.
    await database.transaction(async () => {
      if (engine === 'postgres') await database.query('SELECT pg_advisory_xact_lock(7267136, 1)');
      await database.query('DELETE FROM replay_guard_schema WHERE component = $1', ['none']);
      if (engine === 'sqlite') await other.migrate('notes', [first]);
      else await (await data.open()).database.migrate('notes', [first]);
    });
    t.pass();
  });

  test(`${engine}: without the right to migrate, a missing step is refused by its number, and a current schema is used`, async (t) => {
    const data = await freshData(t, engine);
    const missing = await t.throwsAsync(data.open({ migrate: false }), { instanceOf: SchemaError });
    t.regex(
      missing.message,
      /^grpc-replay-guard: the schema lacks steps 1 to \d+, .*npx grpc-replay-guard migrate/,
    );
    const { database } = await data.open();
    await database.migrate('notes', [first]);
    const { database: restricted } = await data.open({ migrate: false });
    await restricted.migrate('notes', [first]);
    await t.throwsAsync(restricted.migrate('notes', [first, second]), {
      instanceOf: SchemaError,
      code: 'REPLAY_GUARD_SCHEMA',
      message: /^notes: the schema lacks step 2, .*database\.migrate/,
    });
    await database.migrate('notes', [first, second]);
    await restricted.migrate('notes', [first, second]);
    // The server of an earlier version starts again while a newer version is rolled out.
    await restricted.migrate('notes', [first]);
  });

  test(`${engine}: a step that was changed after it had been applied is refused, and nothing is applied`, async (t) => {
    const data = await freshData(t, engine);
    const { database } = await data.open();
    await database.migrate('notes', [first]);
    await database.migrate('notes', [`\n  ${first.replaceAll(' ', '\n    ')}\n`]);
    const changed = [first.replace('BIGINT', 'TEXT'), second];
    const refused = { instanceOf: SchemaError, message: /^notes: step 1 has changed/ };
    await t.throwsAsync(database.migrate('notes', changed), refused);
    await t.throwsAsync(database.migrate('notes', changed.slice(0, 1)), refused);
    const { database: restricted } = await data.open({ migrate: false });
    await t.throwsAsync(restricted.migrate('notes', changed), refused);
    await database.migrate('notes', [first, second]);
  });

  test(`${engine}: a database without digests gets them with its next step`, async (t) => {
    const data = await freshData(t, engine);
    const { database } = await data.open();
    await database.migrate('notes', [first]);
    await database.query('ALTER TABLE replay_guard_schema DROP COLUMN digests');
    await (await data.open()).database.migrate('notes', [first]);
    const { database: next } = await data.open();
    await next.migrate('notes', [first, second]);
    const changed = [first.replace('BIGINT', 'TEXT'), second];
    await t.throwsAsync(next.migrate('notes', changed), { instanceOf: SchemaError });
    // A server of version 0.2 stores a version without digests.
    await database.query("UPDATE replay_guard_schema SET version = 3 WHERE component = 'notes'");
    await next.migrate('notes', [first, second, 'SELECT 3 AS three']);
  });
}

test('sqlite: a migration waits for another migration for longer than the busy time-out, and emits a process warning', async (t) => {
  const data = await freshData(t, 'sqlite');
  const { database } = await data.open();
  const { database: other } = await data.open({ lockTimeoutMs: 20 });
  const warned: string[] = [];
  const note = (warning: Error) => warned.push(warning.message);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  const waiting = await database.transaction(async () => {
    await database.query(first);
    const migrating = other.migrate('other', ['CREATE TABLE other (id BIGINT)']);
    await Promise.race([migrating, poll('a warning', async () => warned.length > 0)]);
    return { migrating };
  });
  await t.notThrowsAsync(waiting.migrating);
  t.deepEqual(warned.filter((text) => /^the migration of other waits/.test(text)).length, 1);
});
