import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { freshFolder } from '../../helpers/databases/engines.js';
import { root } from '../../house/checkout.js';
import { publicNames } from '../public-names.js';

const run = promisify(execFile);

async function calls(t: ExecutionContext, ...flags: string[]): Promise<object> {
  const main = fileURLToPath(new URL('hardened-process.js', import.meta.url));
  const file = join(await freshFolder(t), 'guard.db');
  const image = join(root, 'dist/test-image.binpb');
  const args = [...flags, main, JSON.stringify(Object.keys(publicNames)), image, file];
  return JSON.parse((await run(process.execPath, args)).stdout);
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

// protobufjs generates the constructors and codecs of the stored reply, the status details and the policy.
test.failing('the same server works where code generation from strings is forbidden', async (t) => {
  t.deepEqual(await calls(t, '--disallow-code-generation-from-strings'), { generates: false, ...results });
});
