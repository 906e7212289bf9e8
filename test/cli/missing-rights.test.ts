import test from 'ava';
import { SchemaError } from 'grpc-replay-guard/database';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { administer } from '../helpers/databases/administer.js';
import { freshDatabase } from '../helpers/databases/postgres.js';
import { freshRole, run } from './program.js';

test('a start without the option schema names the option, if the tables are in another schema', async (t) => {
  const owner = await freshDatabase(t);
  const { role, url } = await freshRole(t, owner);
  const script = await run('plans', '--database-url', owner, '--schema', 'guard', '--role', role);
  await administer(owner, script.out);
  const hint =
    /lacks steps 1 to \d+, and .*migrate` as the owner of the tables\. If they are in a schema that .* set the option `schema`$/;
  for (const migrate of [false, true]) {
    const start = openPostgres({ connectionString: url, migrate });
    await t.throwsAsync(start, { instanceOf: SchemaError, message: hint });
  }
});

test('a start in a schema without tables names the command with the schema', async (t) => {
  const owner = await freshDatabase(t);
  const start = openPostgres({ connectionString: owner, schema: 'empty', migrate: false });
  await t.throwsAsync(start, {
    instanceOf: SchemaError,
    message:
      /option `migrate` is false\. Run `npx grpc-replay-guard migrate --schema empty` as the owner of the tables$/,
  });
});

test('a start of a role without its grants says how to print them', async (t) => {
  const owner = await freshDatabase(t);
  const { url } = await freshRole(t, owner);
  t.is((await run('migrate', '--database-url', owner, '--schema', 'guard')).code, 0);
  for (const migrate of [false, true]) {
    const start = openPostgres({ connectionString: url, schema: 'guard', migrate });
    await t.throwsAsync(start, {
      instanceOf: SchemaError,
      message: /may not read the table replay_guard_schema\. .*`npx grpc-replay-guard plans --role ROLE`$/,
    });
  }
});
