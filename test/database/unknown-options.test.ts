import test from 'ava';
import { createMemoryStore, MemoryStore } from 'grpc-replay-guard/memory';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { openSqlite } from 'grpc-replay-guard/sqlite';

const misspelt: object = { maxConnection: 5 };

test('createMemoryStore refuses an unknown option by name', (t) => {
  const refused = {
    instanceOf: TypeError,
    message: 'createMemoryStore: unknown option maxConnection; its options are clock',
  };
  t.throws(() => createMemoryStore(misspelt), refused);
  t.throws(() => new MemoryStore(misspelt), refused);
});

test('createMemoryStore returns a MemoryStore', (t) => {
  t.true(createMemoryStore() instanceof MemoryStore);
});

test('openSqlite refuses an unknown option by name', async (t) => {
  await t.throwsAsync(openSqlite(misspelt), {
    instanceOf: TypeError,
    message: /^openSqlite: unknown option maxConnection; its options are path, database, /,
  });
});

test('openPostgres refuses an unknown option by name', async (t) => {
  await t.throwsAsync(openPostgres(misspelt), {
    instanceOf: TypeError,
    message: /^openPostgres: unknown option maxConnection; its options are connectionString, pool, /,
  });
});

test('openSqlite needs a path or a database', async (t) => {
  await t.throwsAsync(openSqlite({}), {
    instanceOf: TypeError,
    message: 'openSqlite needs a `path` or a `database`',
  });
});

test('openPostgres needs a connection string or a pool', async (t) => {
  await t.throwsAsync(openPostgres({}), {
    instanceOf: TypeError,
    message: 'openPostgres needs a `connectionString` or a `pool`',
  });
});
