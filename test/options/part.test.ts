import { fileURLToPath } from 'node:url';
import test from 'ava';
import {
  createReplayGuard,
  type ReplayGuardOptions,
  scopeFromPeerCertificate,
  singleTenant,
} from 'grpc-replay-guard';
import { createConsumer, migrateConsumer } from 'grpc-replay-guard/consumer';
import { createDatabaseMetrics } from 'grpc-replay-guard/database/prometheus';
import { scopeFromJwt } from 'grpc-replay-guard/jwt';
import { createKyselyDialect } from 'grpc-replay-guard/kysely';
import { createLogObserver } from 'grpc-replay-guard/logging';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { guardedGrpc } from 'grpc-replay-guard/nestjs';
import { createOutbox, migrateOutbox } from 'grpc-replay-guard/outbox';
import { createWebhookDestination } from 'grpc-replay-guard/outbox/webhook';
import { createPgDriver } from 'grpc-replay-guard/pg';
import { openPostgres } from 'grpc-replay-guard/postgres';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { openSqlite } from 'grpc-replay-guard/sqlite';
import pg from 'pg';
import { Registry } from 'prom-client';

const store = createMemoryStore();
const scope = singleTenant();
const guardWith = (options: object) => createReplayGuard({ store, scope, ...options } as ReplayGuardOptions);
const secret = `whsec_${Buffer.alloc(24).toString('base64')}`;
const aStore = /^createReplayGuard: the option store must be a store: `store` of what openSqlite or/;
const aHandle = (name: string) =>
  new RegExp(
    `^${name}: database must be the handle that openSqlite or openPostgres returns as \`database\`, not`,
  );

/** Each value stands where another one belongs, as JavaScript permits. */
const mistakes: Record<string, readonly [use: (opened: never) => unknown, message: RegExp]> = {
  'a guard over an open database': [(opened) => guardWith({ store: opened }), aStore],
  'a guard over a promise': [() => guardWith({ store: Promise.resolve(store) }), /not a promise: await it/],
  'a guard over openSqlite': [
    () => guardWith({ store: openSqlite }),
    /createMemoryStore returns, not a func/,
  ],
  'singleTenant without a call': [
    () => guardWith({ scope: singleTenant }),
    /scope .* call: singleTenant\(\)$/,
  ],
  'scopeFromPeerCertificate without a call': [
    () => guardWith({ scope: scopeFromPeerCertificate }),
    /call: scopeFromPeerCertificate\(\)$/,
  ],
  'a path as descriptors': [
    () => guardWith({ descriptors: 'shop.binpb' }),
    /must be bytes, such as readFileSync/,
  ],
  'a text as cipher key': [
    () => guardWith({ cipherKey: 'secret' }),
    /^cipherKey must be a Buffer of 32 bytes/,
  ],
  'texts as cipher keys': [
    () => guardWith({ cipherKey: { current: 'a'.repeat(32) } }),
    /key must be a Buffer/,
  ],
  'an outbox over an open database': [
    (opened) => createOutbox({ database: opened, routes: {} }),
    aHandle('createOutbox'),
  ],
  'a consumer over an open database': [
    (opened) => createConsumer({ database: opened }),
    aHandle('createConsumer'),
  ],
  'the tables of the outbox in an open database': [migrateOutbox, aHandle('migrateOutbox')],
  'the tables of the consumer in an open database': [migrateConsumer, aHandle('migrateConsumer')],
  'Kysely over an open database': [createKyselyDialect, aHandle('createKyselyDialect')],
  'the driver of a handle': [
    ({ database }: { database: never }) => createPgDriver(database),
    /^createPgDriver: pool must be the result of createPgPool, not another object$/,
  ],
  'an observer without a registry': [
    () => createPrometheusObserver(undefined as never),
    /^register must be a Registry of prom-client, not undefined$/,
  ],
  'the metrics of a handle': [
    ({ database }: { database: never }) => createDatabaseMetrics(new Registry(), database),
    /^createDatabaseMetrics: opened must be what openSqlite or openPostgres resolves to$/,
  ],
  'a transport without a guard': [
    () => guardedGrpc(undefined as never, { package: 'p', protoPath: 'p.proto' }),
    /^guardedGrpc: guard must be the guard that NestJS injects by REPLAY_GUARD, not undefined$/,
  ],
  'a client as pool': [
    () => openPostgres({ pool: new pg.Client() as never }),
    /^openPostgres: pool must be a pg.Pool, not a client$/,
  ],
  'a text as pool': [
    () => openPostgres({ pool: 'postgres://127.0.0.1/shop' as never }),
    /^openPostgres: pool must be a pg.Pool, not a string$/,
  ],
  'the address of another database': [
    () => openPostgres({ connectionString: 'mysql://user:secret@127.0.0.1/shop' }),
    /^the connection string is wrong: it must begin with postgres:\/\/$/,
  ],
  'scopeFromJwt without options': [
    () => scopeFromJwt(undefined as never),
    /^scopeFromJwt: options must be an object$/,
  ],
  'log lines without options': [
    () => createLogObserver(undefined as never),
    /^createLogObserver: options must be an object$/,
  ],
  'a webhook without types': [
    () => createWebhookDestination({ url: 'https://partner.example', secret } as never),
    /^types must be a list of types of events$/,
  ],
  'routes to a text': [
    ({ database }: { database: never }) => createOutbox({ database, routes: { paid: 'partner' as never } }),
    /^routes: paid must have a list of destinations$/,
  ],
  'a text in place of migration steps': [
    ({ database }: { database: { migrate(component: string, steps: unknown): unknown } }) =>
      database.migrate('shop', 'CREATE TABLE shop (id TEXT)'),
    /^migrate: the steps of shop must be a list of texts$/,
  ],
};

for (const [what, [use, message]] of Object.entries(mistakes)) {
  test(`${what}: the error says what to pass`, async (t) => {
    const opened = await openSqlite({ path: ':memory:' });
    t.teardown(() => opened.close());
    await t.throwsAsync(async () => use(opened as never), { instanceOf: TypeError, message });
  });
}

test('openSqlite names the file that it cannot open', async (t) => {
  const path = fileURLToPath(new URL('.', import.meta.url));
  await t.throwsAsync(openSqlite({ path }), { any: true, message: `unable to open database file: ${path}` });
});
