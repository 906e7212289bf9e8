import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { freshFolder } from '../../helpers/databases/engines.js';
import { root } from '../../house/checkout.js';
import { publicNames } from '../public-names.js';

const run = promisify(execFile);

const FORBIDDEN = '--disallow-code-generation-from-strings';
const image = join(root, 'dist/test-image.binpb');

/** Returns the JSON that a process prints. */
async function printed(flags: readonly string[], main: string, ...args: string[]): Promise<object> {
  const path = fileURLToPath(new URL(main, import.meta.url));
  return JSON.parse((await run(process.execPath, [...flags, path, ...args])).stdout);
}

async function calls(t: ExecutionContext, ...flags: string[]): Promise<object> {
  const file = join(await freshFolder(t), 'guard.db');
  return printed(flags, 'hardened-process.js', JSON.stringify(Object.keys(publicNames)), image, file);
}

const results = {
  calls: [
    'entry 1',
    'entry 1, replayed',
    'FAILED_PRECONDITION IDEMPOTENCY_KEY_REUSED',
    'NOT_FOUND no account',
    'NOT_FOUND no account, replayed',
  ],
  delivered: 1,
  received: 1,
};

test('a server with static codecs and descriptors executes, replays and delivers', async (t) => {
  t.deepEqual(await calls(t), { generates: true, ...results });
});

test('the same server works where code generation from strings is forbidden', async (t) => {
  t.deepEqual(await calls(t, FORBIDDEN), { generates: false, ...results });
});

test('the static codecs of every generator are guarded where code generation from strings is forbidden', async (t) => {
  const expected = ['executed', 'replayed', 'IDEMPOTENCY_KEY_REUSED', 'IDEMPOTENCY_KEY_MISSING'];
  const ofEach = Object.entries(await printed([FORBIDDEN], 'static-codecs-process.js', image));
  t.is(ofEach.length, 5);
  for (const [codegen, results] of ofEach) t.deepEqual(results, expected, codegen);
});
