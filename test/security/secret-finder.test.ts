import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { type Engine, engines, freshFolder, openEngine } from '../helpers/databases/engines.js';
import { marker } from './guarded-values.js';
import { SecretFinder } from './secret-finder.js';
import { disclosures, fileNames, type Sink, tableSinks } from './sinks.js';

const SECRET = 'abcdEFGH1234ijklMNOP';
const FOREIGN = 'ключевоеслово';

function finderOf(value: string | Buffer): SecretFinder {
  const finder = new SecretFinder();
  finder.add('secret', value);
  return finder;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What a program could write of SECRET or FOREIGN, and the form that the finder names. */
const planted: readonly (readonly [form: string, value: string, written: string | Buffer])[] = [
  ['plain', SECRET, `a line with ${SECRET} in it`],
  ['plain', SECRET, SECRET.slice(5, 17)],
  ['plain', SECRET, Buffer.from([0, 255, ...Buffer.from(SECRET), 0])],
  ['plain', FOREIGN, FOREIGN],
  ['hexadecimal', SECRET, Buffer.from(SECRET).toString('hex')],
  ['hexadecimal', SECRET, `\\x${Buffer.from(SECRET.slice(3, 15)).toString('hex').toUpperCase()}`],
  ['base64', SECRET, base64(SECRET)],
  ['base64', SECRET, base64(`{"a":"${SECRET}"}`)],
  ['base64', SECRET, base64(`{"ab":"${SECRET}"}`)],
  ['base64', SECRET, base64(`{"abc":"${SECRET}"}`)],
  ['base64', SECRET, base64(SECRET).slice(0, 18)],
  ['base64url', '>>>???>>>???>>>', Buffer.from('>>>???>>>???>>>').toString('base64url')],
  ['percent', '<a b>/<c d>/<e f>', encodeURIComponent('<a b>/<c d>/<e f>')],
  ['percent', FOREIGN, encodeURIComponent(FOREIGN).toLowerCase()],
  ['percent', SECRET, [...SECRET].map((letter) => `%${letter.charCodeAt(0).toString(16)}`).join('')],
  ['JSON', '"quoted" and "again"', JSON.stringify({ text: '"quoted" and "again"' })],
  ['JSON', FOREIGN, [...FOREIGN].map((letter) => `\\u0${letter.charCodeAt(0).toString(16)}`).join('')],
  ['decimal', SECRET, JSON.stringify(Buffer.from(SECRET))],
  ['UTF-8 twice', FOREIGN, Buffer.from(FOREIGN).toString('latin1')],
  ['UTF-16', SECRET, Buffer.from(SECRET, 'utf16le')],
];

for (const [form, value, written] of planted) {
  test(`the finder finds ${form} of ${value} in ${JSON.stringify(String(written))}`, (t) => {
    const found = finderOf(value).find(written);
    t.deepEqual(
      found.map(({ secret, form: found }) => [secret, found]),
      [['secret', form]],
    );
  });
}

test('the finder finds a binary secret as bytes, and in base64 and hexadecimal', (t) => {
  const secret = randomBytes(32);
  const finder = finderOf(secret);
  for (const written of [secret, secret.subarray(7, 19), secret.toString('base64'), secret.toString('hex')]) {
    t.is(finder.find(written).length, 1);
  }
});

test('the finder finds no secret in other texts, and none in parts of 11 characters', (t) => {
  const finder = finderOf(SECRET);
  for (const text of [
    '',
    SECRET.slice(0, 11),
    SECRET.slice(9),
    SECRET.toLowerCase(),
    marker(),
    base64(marker()),
  ]) {
    t.deepEqual(finder.find(text), []);
  }
});

test('the finder refuses a secret that is too short to be searched for', (t) => {
  t.throws(() => finderOf('elevenchars'), { instanceOf: TypeError, message: /at least 12 characters/ });
});

test('a disclosure names the sink, the secret and its form, and an allowed secret is not reported', (t) => {
  const finder = finderOf(SECRET);
  const sink: Sink = { name: 'a page', content: `the value ${SECRET}` };
  t.deepEqual(disclosures(finder, [sink]), [`a page: secret (plain): the value ${SECRET}`]);
  t.deepEqual(disclosures(finder, [{ ...sink, allowed: new Set(['secret']) }]), []);
  t.is(disclosures(finder, [{ ...sink, allowed: new Set(['another']) }]).length, 1);
});

test('a secret in the name of a file is found, also in a folder', async (t) => {
  const folder = await freshFolder(t);
  await mkdir(join(folder, 'inner'));
  await writeFile(join(folder, 'inner', `reply-${SECRET}.json`), '');
  const sinks = await collected(fileNames(folder));
  t.is(disclosures(finderOf(SECRET), sinks).length, 1);
});

/** The expressions of a column with the secret: a text, a list of numbers, bytes. */
const columns: Record<Engine, readonly string[]> = {
  sqlite: [`'${SECRET}'`, `hex('${SECRET}')`, `CAST('x${SECRET}' AS BLOB)`],
  postgres: [`'${SECRET}'`, `encode('${SECRET}', 'base64')`, `convert_to('x${SECRET}', 'UTF8')`],
};

for (const engine of engines) {
  test(`${engine}: a secret in any column of any table is found, except in the columns that may hold it`, async (t) => {
    const { database } = await openEngine(t, engine);
    for (const [index, expression] of columns[engine].entries()) {
      await database.query(`CREATE TABLE planted_${index} AS SELECT 1 AS id, ${expression} AS value`);
    }
    const lines = disclosures(finderOf(SECRET), await collected(tableSinks(database, {})));
    t.deepEqual(
      lines.map((line) => line.split(':')[0]).sort(),
      [0, 1, 2].map((index) => `planted_${index}.value`),
    );
    const allowed = Object.fromEntries(
      [0, 1].map((index) => [`planted_${index}.value`, new Set(['secret'])]),
    );
    t.is(disclosures(finderOf(SECRET), await collected(tableSinks(database, allowed))).length, 1);
  });
}

async function collected(sinks: AsyncIterable<Sink>): Promise<Sink[]> {
  const all: Sink[] = [];
  for await (const sink of sinks) all.push(sink);
  return all;
}
