import { once } from 'node:events';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import * as ownGuard from 'grpc-replay-guard';
import * as ownClient from 'grpc-replay-guard/client';
import * as ownConsumer from 'grpc-replay-guard/consumer';
import * as ownDatabase from 'grpc-replay-guard/database';
import * as ownOutbox from 'grpc-replay-guard/outbox';
import type { ClaimRequest } from 'grpc-replay-guard/store';
import * as ownStore from 'grpc-replay-guard/store';
import { version } from '#library/context/copies.js';
import { freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { methods, onBoth, openLedger, writeEffect } from '../helpers/servers/guarded-ledger.js';
import { PassingStore } from '../helpers/stores/passing-store.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const library = join(root, 'interceptors');

/** Copies the built library into a folder of its own, as a package manager does, and returns its entries. */
async function copyLibrary(t: Cleanup, change = (text: string) => text) {
  const copy = await freshFolder(t);
  cpSync(join(library, 'dist'), join(copy, 'dist'), { recursive: true });
  cpSync(join(library, 'package.json'), join(copy, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  const copies = join(copy, 'dist/context/copies.js');
  writeFileSync(copies, change(readFileSync(copies, 'utf8')));
  const load = <T>(entry: string): Promise<T> => import(pathToFileURL(join(copy, 'dist', entry)).href);
  return {
    guard: await load<typeof ownGuard>('replay-guard/index.js'),
    client: await load<typeof ownClient>('client/index.js'),
    consumer: await load<typeof ownConsumer>('consumer/index.js'),
    database: await load<typeof ownDatabase>('database/index.js'),
    outbox: await load<typeof ownOutbox>('outbox/index.js'),
    store: await load<typeof ownStore>('store/index.js'),
    sqlite: await load<typeof import('grpc-replay-guard/sqlite')>('store/sqlite/index.js'),
  };
}

type Copy = Awaited<ReturnType<typeof copyLibrary>>;

/** Another copy of the same version. */
let other: Copy;
const ends: (() => unknown)[] = [];
test.before(async () => {
  other = await copyLibrary({ teardown: (end) => ends.push(end) });
});
test.after.always(() => {
  for (const end of ends) end();
});

test('the version of the shared state is the version of the package', (t) => {
  t.is(JSON.parse(readFileSync(join(library, 'package.json'), 'utf8')).version, version);
});

for (const method of methods) {
  test(`${method}: another copy of the library derives the ids and keys of the guarded call`, async (t) => {
    t.not(other.client.newIntent, ownClient.newIntent);
    const seen: string[][] = [];
    const ledger = await openLedger(t, 'memory', {
      handlers: () =>
        onBoth((_account, callback) => {
          const stepped = other.client.step('part', () => [
            ownGuard.stableId('a'),
            other.guard.stableId('a'),
          ]);
          t.is(stepped[0], stepped[1]);
          t.is(ownGuard.stableId('a'), other.guard.stableId('a'));
          const keys = [ownClient.newIntent().key, other.client.newIntent().key];
          t.not(keys[0], keys[1]);
          seen.push([...stepped, ...keys]);
          // UNAVAILABLE releases the key, so the same key executes again.
          callback({ code: status.UNAVAILABLE });
        }),
    });
    await ledger.ask(method, 'key');
    await ledger.ask(method, 'key');
    t.is(seen.length, 2);
    t.deepEqual(seen[0], seen[1]);
  });

  test(`${method}: a database of another copy commits together with the reply`, async (t) => {
    const opened = await other.sqlite.openSqlite({ path: join(await freshFolder(t), 'test.db') });
    t.teardown(opened.close);
    const ledger = await openLedger(t, 'sqlite', {
      opened,
      handlers: (database) =>
        onBoth(async (account, callback) => {
          await writeEffect(database, account);
          callback(account === 'fails' ? { code: status.ABORTED } : null, { entryId: account });
        }),
    });
    t.is((await ledger.ask(method, 'one', 'fails')).code, status.ABORTED);
    t.is((await ledger.ask(method, 'two', 'commits')).code, status.OK);
    t.deepEqual(await ledger.effects(), ['commits']);
  });
}

test('instanceof recognises the errors of another copy by their codes', async (t) => {
  const kindsOf = ({ guard, consumer, database, outbox, store }: Omit<Copy, 'client' | 'sqlite'>) =>
    [
      database.DatabaseUnavailableError,
      database.LockTimeoutError,
      database.CommitInDoubtError,
      database.LeaseLostError,
      database.UnitOfWorkError,
      consumer.MessageInProgressError,
      consumer.MessageInvalidError,
      outbox.UndeliverableError,
      outbox.SubscriptionEndedError,
      store.UnreadableWindowError,
      guard.ScopeUnavailableError,
    ] as const;
  const own = {
    guard: ownGuard,
    consumer: ownConsumer,
    database: ownDatabase,
    outbox: ownOutbox,
    store: ownStore,
  };
  const foreign = kindsOf(other).map((Kind) => new Kind('text'));
  const parents = new Map([
    [ownDatabase.LockTimeoutError.name, ownDatabase.DatabaseUnavailableError.name],
    [ownConsumer.MessageInProgressError.name, ownDatabase.DatabaseUnavailableError.name],
  ]);
  for (const Kind of kindsOf(own)) {
    class OfTheApplication extends Kind {}
    for (const error of foreign) {
      const isKind = error.name === Kind.name || parents.get(error.name) === Kind.name;
      t.is(error instanceof Kind, isKind, `${error.name} instanceof ${Kind.name}`);
      t.false(error instanceof OfTheApplication, error.name);
    }
    t.true(new OfTheApplication('text') instanceof Kind);
    t.true(new OfTheApplication('text') instanceof OfTheApplication);
    for (const value of [undefined, null, 'text', {}, Object.create(null), new Error('text')])
      t.false((value as unknown) instanceof Kind);
  }
});

test('the guard judges the errors that a store of another copy throws', async (t) => {
  class ForeignStore extends PassingStore {
    override async claim(request: ClaimRequest) {
      const result = await super.claim(request);
      if (result.outcome !== 'claimed') return result;
      const { claim } = result;
      claim.complete = async () => {
        await claim.release();
        throw new other.database.LeaseLostError('of another copy');
      };
      return result;
    }
  }
  const opened = await other.sqlite.openSqlite({ path: join(await freshFolder(t), 'test.db') });
  t.teardown(opened.close);
  const store = new ForeignStore(opened.store);
  const ledger = await openLedger(t, 'sqlite', { opened: { ...opened, store } });
  t.is((await ledger.append('key')).code, status.UNAVAILABLE);
  t.deepEqual(await ledger.effects(), []);
});

test.serial(
  'a copy that cannot share its state warns, and refuses to derive inside a guarded call',
  async (t) => {
    const warned = once(process, 'warning');
    const form = (text: string) => text.replace('FORMAT = 1', 'FORMAT = 2').replace(version, '9.0.0');
    const incompatible = await copyLibrary(t, form);
    const message = `grpc-replay-guard 9.0.0 cannot see the guarded calls of grpc-replay-guard ${version} in the same process; install one version of the package`;
    t.like((await warned)[0], { code: 'REPLAY_GUARD_COPIES', message });
    const derive = [
      () => incompatible.client.newIntent(),
      () => incompatible.guard.stableId('a'),
      () => incompatible.guard.step('a', () => {}),
    ];
    const ledger = await openLedger(t, 'memory', {
      handlers: () =>
        onBoth((_account, callback) => {
          for (const each of derive) t.throws(each, { message, code: 'REPLAY_GUARD_COPIES' });
          callback(null, {});
        }),
    });
    t.is((await ledger.append('key')).code, status.OK);
    for (const each of derive) t.notThrows(each);
  },
);
