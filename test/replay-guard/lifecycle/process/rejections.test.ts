import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { createReplayGuard, singleTenant } from 'grpc-replay-guard';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { limitConcurrency } from '../../../helpers/waiting/concurrency-limit.js';

const main = fileURLToPath(new URL('rejecting-process.js', import.meta.url));
const inTurn = limitConcurrency(2);

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the process until its end. `guards` is the number of open guards. Every second guard is of another copy. */
function run(policy: string, guards: number, scenario: string): Promise<Ended> {
  const args = [`--unhandled-rejections=${policy}`, main, String(guards), scenario];
  return inTurn(
    () =>
      new Promise<Ended>((resolve) => {
        const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
          resolve({
            code: child.exitCode ?? -1,
            stdout,
            stderr: stderr.replaceAll(String(child.pid), 'PID'),
          });
        });
      }),
  );
}

/** The policies of Node, each with the exit code after an unhandled rejection. */
const policies = { none: 0, warn: 0, 'warn-with-error-code': 1, strict: 1, throw: 1 };

for (const [policy, exitCode] of Object.entries(policies)) {
  for (const scenario of ['alone', 'with listeners']) {
    test(`${policy}: a rejection ${scenario} takes the same course with guards as without`, async (t) => {
      const [without, guarded] = await Promise.all([run(policy, 0, scenario), run(policy, 3, scenario)]);
      t.deepEqual(guarded, without);
      if (scenario === 'alone') t.is(guarded.code, exitCode);
      else t.regex(guarded.stdout, /listener with a listener\n(.*\n)*alive/);
    });
  }
}

test('throw: the rejection of a value that is not an Error takes the same course with a guard as without', async (t) => {
  t.deepEqual(await run('throw', 1, 'of a value'), await run('throw', 0, 'of a value'));
});

// Under `strict` Node ends the process before any listener is asked.
for (const policy of Object.keys(policies).filter((name) => name !== 'strict')) {
  test(`${policy}: the rejection of a guarded handler fails its call once, and no listener receives it`, async (t) => {
    const { code, stdout } = await run(policy, 3, 'of a handler');
    t.is(stdout, 'failed a handler failed\nalive\n');
    t.is(code, 0);
  });
}

test('a handler that rejects while and after another library replaces process.emit fails its call', async (t) => {
  const { code, stdout } = await run('throw', 3, 'of a handler after a child process');
  t.is(stdout, `${'failed a handler failed\n'.repeat(3)}true\nalive\n`);
  t.is(code, 0);
});

test('where process.emit cannot be replaced, guards open, and each copy of the library warns once', async (t) => {
  const { code, stdout, stderr } = await run('warn', 4, 'with a frozen emit');
  t.is(stdout, 'alive\n');
  t.is(code, 0);
  t.is(stderr.match(/\[REPLAY_GUARD_REJECTIONS\] Warning: process\.emit cannot be replaced/g)?.length, 2);
});

test('guards close and open again after another library has sealed process.emit', async (t) => {
  const { code, stdout, stderr } = await run('warn', 1, 'of a handler after emit was sealed');
  t.is(stdout, 'failed a handler failed\nalive\n');
  t.is(code, 0);
  t.regex(stderr, /after the guards/);
  t.notRegex(stderr, /REPLAY_GUARD/);
});

test.serial(
  'guards that open and close again below the process.emit of another library add only one layer',
  async (t) => {
    const { emit } = process;
    t.teardown(() => {
      process.emit = emit;
    });
    const open = () => createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
    const first = open();
    const layer = process.emit;
    t.not(layer, emit);
    const wrapper = ((...args: Parameters<typeof emit>) => layer.apply(process, args)) as typeof emit;
    process.emit = wrapper;
    await first.close();
    t.is(process.emit, wrapper, 'the replacement of the other library stays');
    await open().close();
    t.is(process.emit, wrapper);
  },
);

test.serial(
  'a library that removes its replacement of process.emit while a guard is open leaves no trace',
  async (t) => {
    const { emit } = process;
    const property = Object.getOwnPropertyDescriptor(process, 'emit');
    const guard = createReplayGuard({ store: createMemoryStore(), scope: singleTenant() });
    const layer = process.emit;
    process.emit = ((...args: Parameters<typeof emit>) => layer.apply(process, args)) as typeof emit;
    process.emit = layer;
    t.is(process.emit, layer);
    await guard.close();
    t.is(process.emit, emit);
    t.deepEqual(Object.getOwnPropertyDescriptor(process, 'emit'), property);
  },
);
