import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import Sqlite from 'better-sqlite3';
import { DatabaseUnavailableError } from 'grpc-replay-guard/database';
import { describeError } from 'grpc-replay-guard/logging';
import { RetryLaterError, SubscriptionEndedError, UndeliverableError } from 'grpc-replay-guard/outbox';
import { jwtVerify } from 'jose';
import pg from 'pg';
import { freshDatabase } from '../helpers/databases/postgres.js';

const SECRET = 'eyJhbGciOiJFUzI1NiJ9.SECRET-OF-A-CUSTOMER';

/** Resolves to the error that the work throws. */
async function errorOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('the work did not fail');
}

/** Asserts that the error contains the secret and its description does not. Returns the description. */
function assertWithheld(t: ExecutionContext, error: unknown) {
  const described = describeError(error);
  t.notRegex(JSON.stringify(described), /SECRET/);
  t.regex(described.message, /^withheld/);
  return described;
}

const quoting: Record<string, () => unknown> = {
  'JSON.parse': () => JSON.parse(`{"a": ${SECRET}`),
  BigInt: () => BigInt(SECRET),
  URL: () => new URL(SECRET),
  'an argument of Node': () => readFile({ [SECRET]: 1 } as never),
  'a missing property': () => (undefined as unknown as Record<string, unknown>)[SECRET],
  'a header of http2': () => new Headers({ [`${SECRET} `]: 'a' }),
  'a missing file': () => readFile(`/nowhere/${SECRET}`),
  'a missing program': () => promisify(execFile)(`/nowhere/${SECRET}`),
  'an error with fields': () => {
    throw Object.assign(new Error('failed'), { code: SECRET, detail: SECRET, request: { SECRET } });
  },
  'an error whose name quotes': () => {
    throw Object.assign(new Error(SECRET), { name: `Error ${SECRET}` });
  },
  'an error whose message looks like frames': () => {
    throw new Error(`one\n    at ${SECRET} (file:///${SECRET}.js:1:1)`);
  },
  'an error whose message was changed': () => {
    throw Object.assign(new Error(`one\n    at ${SECRET} (a.js:1:1)`), { message: 'two' });
  },
  'an error whose message was removed': () => {
    throw Object.assign(new Error(`one\n    at ${SECRET} (a.js:1:1)`), { message: '' });
  },
  'a cause': () => {
    throw new DatabaseUnavailableError('the database did not answer', { cause: new Error(SECRET) });
  },
  'a thrown text': () => {
    throw SECRET;
  },
  'an invalid token': () => jwtVerify(SECRET, new Uint8Array(32)),
};
for (const [title, work] of Object.entries(quoting)) {
  test(`the description of an error from ${title} does not quote the text`, async (t) => {
    const error = await errorOf(work);
    t.notRegex(JSON.stringify(describeError(error)), /SECRET/);
  });
}

test('a description has the frames of the stack without the message', async (t) => {
  const { type, stack } = describeError(await errorOf(() => BigInt(SECRET)));
  t.is(type, 'SyntaxError');
  t.regex(String(stack), /^ {4}at .*describe-error\.test/m);
  const empty = describeError(new Error());
  t.regex(String(empty.stack), /^ {4}at .*describe-error\.test/);
});

test('errors that cause each other are described once', (t) => {
  const [one, two] = [new Error('one'), new Error('two')];
  Object.assign(one, { cause: two });
  Object.assign(two, { cause: one });
  let depth = 0;
  for (let part = describeError(one).cause; part; part = part.cause) depth++;
  t.is(depth, 5);
});

test('an error of SQLite is described by its code and the names of the schema', async (t) => {
  const db = new Sqlite(':memory:');
  t.teardown(() => void db.close());
  db.exec('CREATE TABLE notes (id TEXT PRIMARY KEY, n INTEGER CHECK (n > 0)) STRICT');
  const insert = db.prepare('INSERT INTO notes VALUES (?, ?)');
  insert.run(SECRET, 1);
  const unique = describeError(await errorOf(() => insert.run(SECRET, 1)));
  t.like(unique, { code: 'SQLITE_CONSTRAINT_PRIMARYKEY', message: 'UNIQUE constraint failed: notes.id' });
  t.like(describeError(await errorOf(() => insert.run('b', 0))), { code: 'SQLITE_CONSTRAINT_CHECK' });
  const bound = await errorOf(() => db.prepare("SELECT json_extract('{}', ?)").get(`$${SECRET}[`));
  t.regex(String(bound), /SECRET/);
  assertWithheld(t, bound);
});

test('an error of Postgres is described by its SQLSTATE and the names of the schema', async (t) => {
  const client = new pg.Client(await freshDatabase(t));
  await client.connect();
  t.teardown(() => client.end());
  await client.query('CREATE TABLE notes (id TEXT PRIMARY KEY, n BIGINT CHECK (n > 0))');
  const insert = (...values: unknown[]) => client.query('INSERT INTO notes VALUES ($1, $2)', values);
  await insert(SECRET, 1);
  const unique = await errorOf(() => insert(SECRET, 1));
  t.regex(String((unique as { detail?: string }).detail), /SECRET/);
  t.like(assertWithheld(t, unique), { code: '23505', names: { table: 'notes', constraint: 'notes_pkey' } });
  t.like(assertWithheld(t, await errorOf(() => insert(SECRET, SECRET))), { code: '22P02' });
  t.like(assertWithheld(t, await errorOf(() => insert(`\0${SECRET}`, 1))), { code: '22021' });
  const raised = () => client.query(`DO $$ BEGIN RAISE EXCEPTION '${SECRET}'; END $$`);
  t.like(assertWithheld(t, await errorOf(raised)), { code: 'P0001' });
  const conflict = `DO $$ BEGIN RAISE EXCEPTION '${SECRET}' USING ERRCODE = '40001'; END $$`;
  t.like(assertWithheld(t, await errorOf(() => client.query(conflict))), { code: '40001' });
  const missing = describeError(await errorOf(() => client.query('SELECT * FROM nothing')));
  t.like(missing, { code: '42P01', message: 'relation "nothing" does not exist' });
});

test('a failed connection is described by its address', async (t) => {
  const refused = await errorOf(
    () => new Promise((_, reject) => connect(1, '127.0.0.1').on('error', reject)),
  );
  t.like(describeError(refused), { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:1' });
  const fetched = describeError(await errorOf(() => fetch(`http://127.0.0.1:65000/${SECRET}`)));
  t.like(fetched, { message: 'fetch failed', cause: { code: 'ECONNREFUSED' } });
});

test('a failed call of a gRPC client is described by its code and what grpc-js knows', async (t) => {
  const client = new Client('127.0.0.1:1', credentials.createInsecure());
  t.teardown(() => client.close());
  const call = () =>
    new Promise((_, reject) =>
      client.makeUnaryRequest(
        '/a.B/C',
        () => Buffer.alloc(0),
        () => ({}),
        {},
        (error) => reject(error),
      ),
    );
  const { code, message } = describeError(await errorOf(call));
  t.is(code, 14);
  t.is(message, '14 UNAVAILABLE: No connection established. connect ECONNREFUSED 127.0.0.1:1');
  const answered = Object.assign(new Error(`14 UNAVAILABLE: ${SECRET}`), { code: 14, details: SECRET });
  assertWithheld(t, answered);
  const forged = new Error(`14 UNAVAILABLE: No connection established. Last error: ${SECRET}`);
  t.is(describeError(forged).message, '14 UNAVAILABLE: No connection established.');
});

test('an error that the application makes with a class of the library has no message', (t) => {
  for (const error of [new UndeliverableError(SECRET), new RetryLaterError(SECRET, 1)])
    assertWithheld(t, error);
  t.is(
    describeError(new SubscriptionEndedError('the receiver answered 410')).message,
    'the receiver answered 410',
  );
});

test('an error of the library keeps its message', (t) => {
  const error = new DatabaseUnavailableError('the database did not answer: Connection terminated');
  t.like(describeError(error), {
    ...{ type: 'DatabaseUnavailableError', code: 'REPLAY_GUARD_DATABASE_UNAVAILABLE' },
    message: 'the database did not answer: Connection terminated',
  });
});
