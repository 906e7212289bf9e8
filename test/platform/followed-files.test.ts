import { mkdir, rename, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { ConfigError } from '#src/config/config.js';
import { FollowedFiles } from '#src/platform/followed-files.js';
import { freshFolder } from '../helpers/databases/engines.js';
import { poll } from '../helpers/waiting/poll.js';

/** Follows files whose value is their text. A text that begins with `bad` cannot be used. */
async function follow(t: ExecutionContext, paths: readonly string[], intervalMs = 1_000_000) {
  const lines: string[] = [];
  const values: string[] = [];
  const followed = new FollowedFiles(pino({}, { write: (line: string) => lines.push(line) }), intervalMs);
  t.teardown(() => followed.stop());
  const files = paths.map((path) => ({ setting: 'A_FILE', path }));
  const parse = (...contents: Buffer[]) => {
    const text = contents.join('+');
    if (text.includes('bad')) throw new Error('the text is bad');
    return text;
  };
  const first = followed.follow({ files, parse, renew: (value) => void values.push(value) });
  return { followed, first, values, lines };
}

async function file(t: ExecutionContext, text: string): Promise<string> {
  const path = join(await freshFolder(t), 'file');
  await writeFile(path, text);
  return path;
}

test('a file that is written in place, renamed over, or replaced by a link is read again', async (t) => {
  const folder = await freshFolder(t);
  // Kubernetes mounts a folder of links through `..data`, and replaces this link at an update.
  const version = async (name: string, text: string) => {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, 'file'), text);
    await symlink(name, join(folder, '..new'));
    await rename(join(folder, '..new'), join(folder, '..data'));
  };
  const path = join(folder, 'file');
  await version('..1', 'one');
  await symlink('..data/file', path);
  const { followed, first, values, lines } = await follow(t, [path]);
  t.is(first, 'one');
  await followed.check();
  t.deepEqual(values, []);
  await version('..2', 'two');
  await followed.check();
  await writeFile(path, 'three');
  await followed.check();
  await writeFile(`${path}.new`, 'four');
  await rename(`${path}.new`, path);
  await followed.check();
  await followed.check();
  t.deepEqual(values, ['two', 'three', 'four']);
  t.is(lines.length, 3);
});

test('a file that cannot be used is logged once for each reason and tried at each check', async (t) => {
  const path = await file(t, 'one');
  const { followed, values, lines } = await follow(t, [path]);
  const linesOf = async (change: () => Promise<void>) => {
    lines.length = 0;
    await change();
    await followed.check();
    await followed.check();
    return lines.map((line) => JSON.parse(line).reason ?? 'in use');
  };
  t.deepEqual(await linesOf(() => writeFile(path, 'bad')), [
    `A_FILE: ${path} cannot be used: the text is bad`,
  ]);
  t.regex(
    (await linesOf(() => unlink(path))).join(),
    /^A_FILE: .* cannot be used: ENOENT[^,]*, open '[^']*'$/,
  );
  t.deepEqual(await linesOf(() => writeFile(path, 'one')), [], 'the content in use is back');
  t.deepEqual(await linesOf(() => writeFile(path, 'bad')), [
    `A_FILE: ${path} cannot be used: the text is bad`,
  ]);
  t.deepEqual(await linesOf(() => writeFile(path, 'two')), ['in use']);
  t.deepEqual(values, ['two']);
});

test('the contents of several files are one value', async (t) => {
  const [a, b] = [await file(t, 'a'), await file(t, 'b')];
  const { followed, first, values } = await follow(t, [a, b]);
  t.is(first, 'a+b');
  await writeFile(b, 'c');
  await followed.check();
  t.deepEqual(values, ['a+c']);
});

test('files are checked at an interval until the checks are stopped', async (t) => {
  const path = await file(t, 'one');
  const { followed, values } = await follow(t, [path], 10);
  await writeFile(path, 'two');
  await poll('the change is in use', () => values.length === 1);
  followed.stop();
  await writeFile(path, 'three');
  await followed.check();
  t.deepEqual(values, ['two', 'three'], 'a check by request still works');
});

test('a file that cannot be read or used at the start is a ConfigError that names the setting', async (t) => {
  const path = await file(t, 'bad');
  const message = /^A_FILE: .* cannot be used: the text is bad$/;
  await t.throwsAsync(follow(t, [path]), { instanceOf: ConfigError, message });
  await t.throwsAsync(follow(t, [`${path}.none`]), { instanceOf: ConfigError, message: /ENOENT/ });
});
