import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readArguments, UsageError } from '#library/cli/arguments.js';
import { runProgram } from '#library/cli/commands.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { run, start } from './program.js';

const database = ['--database-url', 'postgres://user:hidden@127.0.0.1:1/none'];
const file = ['--database-url', 'sqlite:/nowhere/guard.db'];

/** Wrong arguments, and what the program answers. */
const wrong: readonly (readonly [args: readonly string[], reason: RegExp])[] = [
  [[], /^grpc-replay-guard COMMAND/],
  [['repair', ...database], /^grpc-replay-guard COMMAND/],
  [['doctor', 'extra', ...database], /^grpc-replay-guard COMMAND/],
  [['doctor', '--database-url'], /^grpc-replay-guard COMMAND/],
  [['doctor', '--what', ...database], /^an option is unknown/],
  [['doctor'], /^name the database by --database-url or DATABASE_URL/],
  [['doctor', '--database-url', 'mysql://user:hidden@host/db'], /^the address of the database must be/],
  [['migrate', '--database-url', 'sqlite::memory:'], /^the address of the database must be/],
  [['doctor', ...database, '--part', 'all'], /^--part must be one of guard, outbox, consumer/],
  [['doctor', ...database, '--engine', 'postgres'], /^--engine is for plans/],
  [['plans', ...database, '--engine', 'postgres'], /^--engine prints all steps, without a database/],
  [['plans', '--engine', 'mysql'], /^--engine must be sqlite or postgres/],
  [['migrate', ...database, '--role', 'runtime'], /^--role is for plans and doctor/],
  [['doctor', ...database, '--fence'], /^--fence is for migrate and plans/],
  [['plans', '--engine', 'postgres', '--fence', '--part', 'outbox'], /^--fence needs the part guard/],
  [['migrate', ...file, '--schema', 'guard'], /^--schema is for Postgres/],
  [['doctor', ...file, '--role', 'runtime'], /^--role is for Postgres/],
  [['plans', ...file, '--pooler'], /^--pooler is for Postgres/],
];

for (const [args, reason] of wrong) {
  test(`refused with the reason, without a password: ${args.join(' ')}`, (t) => {
    const error = t.throws(() => readArguments(args, {}), { instanceOf: UsageError, message: reason });
    t.notRegex(String(error?.message), /hidden/);
  });
}

test('wrong arguments, and a missing file, end the program with exit code 2', async (t) => {
  const wrong = await start(['doctor', ...database, '--what']).ended;
  t.deepEqual([wrong.code, wrong.out], [2, '']);
  t.regex(wrong.err, /^an option is unknown/);
  const missing = await run('doctor', '--database-url', 'sqlite:/nowhere/guard.db');
  t.deepEqual([missing.code, missing.err], [2, 'there is no file /nowhere/guard.db\n']);
});

test('--help prints the usage to the standard output with exit code 0', async (t) => {
  for (const args of [['--help'], ['-h'], ['doctor', '--help']]) {
    const { code, out, err } = await run(...args);
    t.deepEqual([code, err], [0, '']);
    t.regex(out, /^grpc-replay-guard COMMAND/);
  }
});

test('a reader that ends early has no effect on the exit code, and no error is printed', async (t) => {
  const { child, ended } = start(['plans', '--engine', 'postgres']);
  child.stdout.destroy();
  t.like(await ended, { code: 0, err: '' });
});

/** Addresses that lead to no usable database, and what the program answers. */
const unusable: readonly (readonly [url: string, reason: RegExp])[] = [
  ['postgres://user:hidden@127.0.0.1:1/none', /ECONNREFUSED/],
  ['postgres://user:hid#hidden@host/db', /^the connection string is wrong: a # in it/],
  ['postgres://user:hidden/hidden@host/db', /^the connection string is wrong: a port must be/],
  ['POSTGRES://user:hidden@host:0/db', /^the connection string is wrong: a port must be/],
];

for (const [url, reason] of unusable) {
  test(`exit code 1 and the reason, without a password: ${url}`, async (t) => {
    const { code, err } = await runProgram(['doctor'], { DATABASE_URL: url });
    t.is(code, 1);
    t.regex(err, reason);
    t.notRegex(err, /hidden/);
  });
}

test('a folder, and a file that is no database, are named in the answer', async (t) => {
  const folder = await freshFolder(t);
  const other = join(folder, 'notes.txt');
  writeFileSync(other, 'These are notes, and no database. '.repeat(100));
  for (const command of ['migrate', 'plans', 'doctor']) {
    const onFolder = await run(command, '--database-url', `sqlite:${folder}`);
    t.deepEqual([onFolder.code, onFolder.err], [2, `${folder} is a folder\n`]);
    const onOther = await run(command, '--database-url', `sqlite:${other}`);
    t.is(onOther.code, 1);
    t.regex(onOther.out + onOther.err, /file is not a database/);
  }
});
