import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import type { ClaimRequest, OpenStore } from 'grpc-replay-guard/store';
import { claimed, digest, reply, request } from '../contracts/store/requests.js';
import { emptiedData } from '../helpers/databases/emptied-data.js';
import { freshData } from '../helpers/databases/engines.js';

const emptied = emptiedData(test);

async function openFile(t: ExecutionContext) {
  const data = await freshData(t, 'sqlite');
  return { path: data.url.slice('sqlite:'.length), opened: await data.open({ lockTimeoutMs: 50 }) };
}

/** How often a text stands in the file of a database and in its log. */
function copiesIn(path: string, text: string): number {
  const files = [path, `${path}-wal`].filter((file) => existsSync(file));
  return files.reduce((sum, file) => sum + readFileSync(file).toString('latin1').split(text).length - 1, 0);
}

async function execute(
  t: ExecutionContext,
  { store }: OpenStore,
  text: string,
  changes: Partial<ClaimRequest> = {},
): Promise<void> {
  const operation = request({ id: digest(randomUUID()), scope: 'single', ...changes });
  await claimed(t, await store.claim(operation)).complete(reply(text));
}

const guardOf = (t: ExecutionContext, { store }: OpenStore) => {
  const guard = createReplayGuard({ store, scope: singleTenant() });
  t.teardown(() => guard.close());
  return guard;
};

test('sqlite: an erasure leaves no byte of the replies in the file or its log', async (t) => {
  const { path, opened } = await openFile(t);
  for (let count = 0; count < 300; count++) await execute(t, opened, `iban-of-${count}`);
  const series = { id: digest('producer'), epoch: 0n, sequence: 0n };
  await execute(t, opened, 'iban-of-a-producer', { series });
  await execute(t, opened, `iban-of-${'x'.repeat(20_000)}`);
  t.true(copiesIn(path, 'iban-of-') > 300);
  const guard = guardOf(t, opened);
  t.deepEqual(await guard.eraseScope('single'), { erased: 302, skipped: 0, removedFromFiles: true });
  t.is(copiesIn(path, 'iban-of-'), 0);
});

test('sqlite: a purge leaves nothing of its records in the file after the next checkpoint', async (t) => {
  const { path, opened } = await openFile(t);
  for (let count = 0; count < 300; count++) await execute(t, opened, `iban-of-${count}`, { retentionMs: -1 });
  t.is((await opened.store.purge(1_000)).purged, 300);
  t.true(await opened.store.removeTraces?.());
  t.is(copiesIn(path, 'iban-of-'), 0);
});

test('sqlite: an erasure reports that a reader keeps the log, and a repetition removes the bytes', async (t) => {
  const { path, opened } = await openFile(t);
  await execute(t, opened, 'iban-of-a-customer');
  const reader = new Sqlite(path, { readonly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM replay_guard_records').get();
  const guard = guardOf(t, opened);
  t.deepEqual(await guard.eraseScope('single'), { erased: 1, skipped: 0, removedFromFiles: false });
  t.true(copiesIn(path, 'iban-of-') > 0);
  reader.close();
  t.deepEqual(await guard.eraseScope('single'), { erased: 0, skipped: 0, removedFromFiles: true });
  t.is(copiesIn(path, 'iban-of-'), 0);
});

test('sqlite: an erasure waits for a unit of work of the same server, and empties the log after it', async (t) => {
  const { path, opened } = await openFile(t);
  await execute(t, opened, 'iban-of-a-customer');
  const running = claimed(t, await opened.store.claim(request({ scope: 'other', atomicity: 'TRANSACTION' })));
  const erasing = guardOf(t, opened).eraseScope('single');
  await running.complete(reply('done'));
  t.like(await erasing, { erased: 1, removedFromFiles: true });
  t.is(copiesIn(path, 'iban-of-'), 0);
});

for (const name of ['sqlite', 'postgres'] as const) {
  test.serial(`${name}: an erasure reports the records whose execution still runs`, async (t) => {
    const opened = await (await emptied(t, name)).open();
    const guard = guardOf(t, opened);
    const series = { id: digest('producer'), epoch: 0n, sequence: 0n };
    const running = [{}, { series }].map((changes) =>
      request({ scope: 'single', atomicity: 'LEASE', ...changes }),
    );
    const claims = [];
    for (const operation of running) claims.push(claimed(t, await opened.store.claim(operation)));
    await execute(t, opened, 'done');
    t.like(await guard.eraseScope('single'), { erased: 1, skipped: 2, removedFromFiles: name === 'sqlite' });
    for (const claim of claims) await claim.complete(reply('late'));
    t.like(await guard.eraseScope('single'), { erased: 2, skipped: 0 });
  });
}
