import test from 'ava';
import { createConsumer, processOnce } from 'grpc-replay-guard/consumer';
import { SchemaError } from 'grpc-replay-guard/database';
import { administer } from '../helpers/databases/administer.js';
import { dataAt, engines, freshData } from '../helpers/databases/engines.js';
import { append, notebook, openOutbox, relayTo, rounds } from '../helpers/databases/outbox.js';
import { useStore } from '../helpers/stores/use-store.js';
import { freshRole, run, start } from './program.js';

for (const engine of engines) {
  test(`${engine}: migrate brings a new database to the state that doctor calls current`, async (t) => {
    const { url } = await freshData(t, engine);
    const migrated = await start(['migrate'], { DATABASE_URL: url }).ended;
    t.is(migrated.code, 0, migrated.err);
    t.regex(migrated.out, /^grpc-replay-guard: from step 0 to step \d+\n.*outbox: from.*\n.*consumer: from/);
    t.regex((await run('migrate', '--database-url', url)).out, /^grpc-replay-guard: current at step/);
    const found = await run('doctor', '--database-url', url, '--json');
    t.is(found.code, 0, found.out + found.err);
    t.like(JSON.parse(found.out), { ok: true, problems: [] });
    const planned = await run('plans', '--database-url', url);
    t.notRegex(planned.out, /CREATE TABLE/);
  });

  test(`${engine}: doctor names a missing index, and exits with 1`, async (t) => {
    const data = await freshData(t, engine);
    const { database } = await data.open();
    await database.query('DROP INDEX replay_guard_records_expiry');
    const found = await run('doctor', '--database-url', data.url);
    t.is(found.code, 1);
    t.regex(found.out, /PROBLEM: the index replay_guard_records_expiry is missing/);
  });
}

test('a role with the planned grants alone serves keys, series, events and messages', async (t) => {
  const { url } = await freshData(t, 'postgres');
  const runtime = await freshRole(t, url);
  const script = await run('plans', '--database-url', url, '--schema', 'guard', '--role', runtime.role);
  t.is(script.code, 0, script.err);
  await administer(url, script.out);
  const found = await run('doctor', '--database-url', url, '--schema', 'guard', '--role', runtime.role);
  t.is(found.code, 0, found.out);
  await administer(url, 'REVOKE ALL ON SCHEMA public FROM PUBLIC');
  const data = dataAt(t, 'postgres', runtime.url);
  const restricted = {
    ...data,
    open: (options = {}) => data.open({ ...options, schema: 'guard', migrate: false }),
  };
  const server = await restricted.open();
  await server.ping();
  await useStore(t, server, await restricted.open());
  t.is((await server.store.erase('tenant', 100)).erased, 7);
  await server.store.marks?.set('mark', 1);
  const outbox = await openOutbox(restricted);
  const { notes, write } = notebook();
  await append(outbox, ['a', 1], ['a', 2]);
  await rounds(relayTo(t, outbox, write));
  t.deepEqual(notes, ['a1', 'a2']);
  await (await createConsumer({ database: outbox.database })).close();
  const message = { consumer: 'receiver', scope: 'queue', messageId: 'm' };
  t.is((await processOnce(outbox.database, message, async () => {})).outcome, 'processed');
  t.is((await processOnce(outbox.database, message, async () => {})).outcome, 'duplicate');
  await t.throwsAsync(server.database.query('CREATE TABLE guard.other (id BIGINT)'), { any: true });
  await administer(url, `REVOKE UPDATE ON guard.replay_guard_records FROM ${runtime.role}`);
  const lacking = await run('doctor', '--database-url', url, '--schema', 'guard', '--role', runtime.role);
  t.regex(lacking.out, /PROBLEM: the role role_\w+ lacks UPDATE on replay_guard_records/);
});

test('migrate --fence refuses earlier builds, so that a role without CREATE need not', async (t) => {
  const { url } = await freshData(t, 'postgres');
  const runtime = await freshRole(t, url);
  const script = await run('plans', '--database-url', url, '--schema', 'guard', '--role', runtime.role);
  await administer(url, script.out);
  const server = await dataAt(t, 'postgres', runtime.url).open({ schema: 'guard', migrate: false });
  const refuse = async () => server.store.marks?.refuseEarlierVersions();
  await t.throwsAsync(refuse(), { instanceOf: SchemaError });
  const planned = await run('plans', '--database-url', url, '--schema', 'guard', '--fence');
  t.regex(planned.out, /ADD CONSTRAINT replay_guard_records_refuses_former CHECK .*fence < \d{13}/);
  const args = ['migrate', '--database-url', url, '--schema', 'guard', '--fence'];
  t.regex((await run(...args)).out, /grpc-replay-guard\/fence: from step 0 to step 2/);
  t.is(await refuse(), 0);
  t.regex((await run(...args)).out, /grpc-replay-guard\/fence: current at step 2/);
});
