import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { status } from '@grpc/grpc-js';
import test from 'ava';
import { type ReplayGuardObserver, scopeFromMetadata } from 'grpc-replay-guard';
import { observerMethods } from '#library/replay-guard/observer.js';
import { emptiedData } from '../../helpers/databases/emptied-data.js';
import { engines } from '../../helpers/databases/engines.js';
import { openUrl } from '../../helpers/databases/open-url.js';
import { startProxy } from '../../helpers/proxies/postgres-proxy.js';
import { methods, onBoth, openLedger } from '../../helpers/servers/guarded-ledger.js';

const emptied = emptiedData(test);

const secrets = {
  key: 'the-key-that-nobody-may-see',
  scope: 'the scope that is itself a credential',
  request: 'the payload of the request',
  reply: 'the reply of the handler',
  pepper: 'the pepper that keys are hashed with',
  cipherKey: 'the cipher key, of 32 characters',
};

/** The encodings in which a secret could appear in stored bytes. */
const forms = (text: string) => {
  const bytes = Buffer.from(text);
  return [
    bytes,
    ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form))),
  ];
};

/** An observer that records every event with all its arguments and the properties of errors. */
function recording(events: string[]): ReplayGuardObserver {
  const methods = Object.keys(observerMethods).map((name) => [
    name,
    (...args: unknown[]) => events.push(inspect([name, ...args], { depth: 10, showHidden: true })),
  ]);
  return Object.fromEntries(methods);
}

for (const engine of engines) {
  test.serial(
    `${engine}: no key, scope, payload or secret appears in the database, an answer or an observer event`,
    async (t) => {
      const data = await emptied(t, engine);
      const proxy = engine === 'postgres' ? await startProxy(t, data.url) : undefined;
      const opened = await openUrl(proxy?.url ?? data.url);
      t.teardown(opened.close);
      const events: string[] = [];
      const ledger = await openLedger(t, data, {
        opened,
        guard: {
          ...{ scope: scopeFromMetadata('x-scope'), observer: recording(events) },
          ...{ pepper: secrets.pepper, cipherKey: Buffer.from(secrets.cipherKey) },
        },
        handlers: () =>
          onBoth((_account, callback) =>
            callback(null, { entryId: secrets.reply, transferId: secrets.reply }),
          ),
      });
      const answers: string[] = [];
      const ask = async (key: string, account = secrets.request, scope = secrets.scope) => {
        for (const method of methods) {
          const reply = await ledger.ask(method, key, account, { metadata: { 'x-scope': scope } });
          answers.push(inspect([reply.details, reply.trailers.getMap(), reply.statusDetails], { depth: 10 }));
        }
      };
      for (const _ of [1, 2]) await ask(secrets.key);
      await ask(secrets.key, 'another payload');
      await ask(`${secrets.key} `);
      await ask(secrets.key, secrets.request, '');
      const rows = await ledger.database.query('SELECT * FROM replay_guard_records');
      t.is(rows.length, 2);
      await ledger.database.query('UPDATE replay_guard_records SET reply = NULL');
      await ask(secrets.key);
      if (proxy) proxy.down();
      else await opened.close();
      await ask(secrets.key);

      const values = rows.flatMap((row) => Object.values(row));
      const atRest = values.map((value) => (Buffer.isBuffer(value) ? value : Buffer.from(String(value))));
      if (engine === 'sqlite') {
        const path = data.url.slice('sqlite:'.length);
        atRest.push(await readFile(path));
      }
      for (const [what, secret] of Object.entries(secrets)) {
        for (const form of forms(secret)) {
          t.false(
            atRest.some((bytes) => bytes.includes(form)),
            `${what} is in the database`,
          );
          t.false(
            events.some((text) => text.includes(String(form))),
            `${what} is in an event`,
          );
          t.false(
            answers.some((text) => text.includes(String(form))),
            `${what} is in an answer`,
          );
        }
      }
      t.true(events.some((text) => /storeUsed.*Error/s.test(text)));
    },
  );

  test.serial(`${engine}: a scope can have any length and any characters`, async (t) => {
    let scope = '';
    const ledger = await openLedger(t, await emptied(t, engine), { guard: { scope: () => scope } });
    const scopes = ['x'.repeat(100_000), `${'x'.repeat(99_999)}y`, 'a\0b', 'a'];
    for (scope of scopes) t.like(await ledger.append('key'), { code: status.OK, replayed: false });
    for (scope of scopes) t.like(await ledger.append('key'), { code: status.OK, replayed: true });
    for (const each of scopes) t.is((await ledger.guard.eraseScope(each)).erased, 1);
  });
}
