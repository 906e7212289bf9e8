import { AsyncLocalStorage } from 'node:async_hooks';
import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { RepeatingTask, type RepeatingTaskOptions } from 'grpc-replay-guard/timing';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

const INTERVAL_MS = 1_000;

/** A task that counts its runs, under timers that the test controls. Stopped after the test. */
function countingTask(t: ExecutionContext, options: Partial<RepeatingTaskOptions> = {}) {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  let runs = 0;
  const errors: unknown[] = [];
  const { run = async () => {}, ...others } = options;
  const task = new RepeatingTask({
    run: async () => {
      runs++;
      return run();
    },
    intervalMs: INTERVAL_MS,
    onError: (error) => errors.push(error),
    ...others,
  });
  t.teardown(async () => {
    mock.timers.reset();
    await task.stop();
  });
  /** Waits until the current run has ended, then asserts the number of runs. */
  const assertRuns = async (expected: number) => {
    await new Promise(setImmediate);
    t.is(runs, expected);
  };
  return { task, errors, assertRuns, pass: (ms: number) => mock.timers.tick(ms) };
}

test.serial('a task runs when it starts, and one interval after the end of each run', async (t) => {
  const { task, assertRuns, pass } = countingTask(t);
  task.start();
  await assertRuns(1);
  pass(INTERVAL_MS - 1);
  await assertRuns(1);
  pass(1);
  await assertRuns(2);
  pass(INTERVAL_MS);
  await assertRuns(3);
});

test.serial('the first run can wait for one interval', async (t) => {
  const { task, assertRuns, pass } = countingTask(t);
  task.start('after-interval');
  await assertRuns(0);
  pass(INTERVAL_MS);
  await assertRuns(1);
});

test.serial('a second start has no effect', async (t) => {
  const { task, assertRuns, pass } = countingTask(t);
  task.start();
  task.start();
  await assertRuns(1);
  pass(INTERVAL_MS);
  await assertRuns(2);
  await task.stop();
  pass(10 * INTERVAL_MS);
  await assertRuns(2);
});

test.serial('a run that resolves to true is followed by another at once', async (t) => {
  let rest = 3;
  const { task, assertRuns } = countingTask(t, { run: async () => --rest > 0 });
  task.start();
  await assertRuns(3);
});

test.serial('wake-ups during a run cause one more run', async (t) => {
  const barrier = new Barrier();
  const { task, assertRuns } = countingTask(t, { run: () => barrier.pass() });
  task.start();
  await barrier.reached();
  task.wake();
  task.wake();
  await assertRuns(1);
  barrier.open();
  await assertRuns(2);
});

test.serial('the pause after a run that is longer than the interval is one full interval', async (t) => {
  const barrier = new Barrier();
  const { task, assertRuns, pass } = countingTask(t, { run: () => barrier.pass() });
  task.start();
  await barrier.reached();
  pass(3 * INTERVAL_MS);
  barrier.open();
  await assertRuns(1);
  pass(INTERVAL_MS - 1);
  await assertRuns(1);
  pass(1);
  await assertRuns(2);
});

test.serial('a wake-up in the synchronous part of a run does not overlap it', async (t) => {
  let running = 0;
  let wakeUps = 3;
  const overlaps: number[] = [];
  const { task, assertRuns } = countingTask(t, {
    run: async () => {
      overlaps.push(++running);
      if (wakeUps-- > 0) task.wake();
      await new Promise(setImmediate);
      running--;
    },
  });
  task.start();
  await poll('the last run', () => overlaps.length === 4 && running === 0);
  await assertRuns(4);
  t.deepEqual(overlaps, [1, 1, 1, 1]);
});

test.serial('a delayed wake-up starts a run, unless the pause after a run ends first', async (t) => {
  const { task, assertRuns, pass } = countingTask(t);
  task.start('after-interval');
  task.wakeIn(400);
  task.wakeIn(INTERVAL_MS);
  pass(399);
  await assertRuns(0);
  pass(1);
  await assertRuns(1);
  pass(INTERVAL_MS - 1);
  await assertRuns(1);
  pass(1);
  await assertRuns(2);
});

test.serial(
  'after failed runs the pause doubles up to its upper bound, and a success restores the interval',
  async (t) => {
    let isBroken = true;
    const run = async () => {
      if (isBroken) throw new Error('broken');
    };
    const { task, errors, assertRuns, pass } = countingTask(t, { run, maxFailurePauseMs: 5_000 });
    task.start();
    await assertRuns(1);
    for (const [pauseMs, runs] of [
      [2_000, 2],
      [4_000, 3],
      [5_000, 4],
      [5_000, 5],
    ] as const) {
      pass(pauseMs - 1);
      await assertRuns(runs - 1);
      pass(1);
      await assertRuns(runs);
    }
    t.is(errors.length, 5);
    isBroken = false;
    pass(5_000);
    await assertRuns(6);
    pass(INTERVAL_MS);
    await assertRuns(7);
  },
);

test.serial('without an upper bound the pause after failed runs does not grow', async (t) => {
  const { task, assertRuns, pass } = countingTask(t, { run: () => Promise.reject(new Error('broken')) });
  task.start();
  for (const runs of [1, 2, 3, 4]) {
    await assertRuns(runs);
    pass(INTERVAL_MS);
  }
  await assertRuns(5);
});

test.serial('a woken run that succeeds ends the long pause after failures', async (t) => {
  let isBroken = true;
  const run = async () => {
    if (isBroken) throw new Error('broken');
  };
  const { task, assertRuns, pass } = countingTask(t, { run, maxFailurePauseMs: 8_000 });
  task.start();
  await assertRuns(1);
  pass(2_000);
  await assertRuns(2);
  isBroken = false;
  task.wake();
  await assertRuns(3);
  pass(INTERVAL_MS);
  await assertRuns(4);
});

test.serial('a delayed wake-up starts a run during the long pause after a failure', async (t) => {
  const run = () => Promise.reject(new Error('broken'));
  const { task, assertRuns, pass } = countingTask(t, { run, maxFailurePauseMs: 5_000 });
  task.start();
  await assertRuns(1);
  task.wakeIn(INTERVAL_MS);
  pass(INTERVAL_MS);
  await assertRuns(2);
});

test.serial('an error of onError reaches the process, and the task continues', async (t) => {
  const failure = new Error('the log is full');
  const { task, assertRuns, pass } = countingTask(t, {
    run: () => Promise.reject(new Error('broken')),
    onError: () => {
      throw failure;
    },
  });
  const uncaught: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  t.teardown(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  task.start();
  await assertRuns(1);
  pass(INTERVAL_MS);
  await assertRuns(2);
  t.deepEqual(uncaught, [failure, failure]);
  await task.stop();
});

for (const intervalMs of [0, -1, Number.NaN, 2 ** 31]) {
  test.serial(`an interval of ${intervalMs} ms is refused`, (t) => {
    const message = `intervalMs must be from 1 to 2147483647, not ${intervalMs}`;
    const options = { run: async () => {}, intervalMs, onError: () => {} };
    t.throws(() => new RepeatingTask(options), { instanceOf: RangeError, message });
  });
}

test.serial('a wake-up does not wait for the end of a pause after a failure', async (t) => {
  const { task, assertRuns } = countingTask(t, { run: () => Promise.reject(new Error('broken')) });
  task.start();
  await assertRuns(1);
  task.wake();
  await assertRuns(2);
});

test.serial('stop waits for the current run and prevents further runs', async (t) => {
  const barrier = new Barrier();
  const { task, assertRuns, pass } = countingTask(t, { run: () => barrier.pass() });
  task.start();
  await barrier.reached();
  task.wake();
  task.wakeIn(1);
  let isStopped = false;
  const stopping = task.stop().then(() => {
    isStopped = true;
  });
  await assertRuns(1);
  t.false(isStopped);
  barrier.open();
  await stopping;
  task.wake();
  task.wakeIn(1);
  pass(10 * INTERVAL_MS);
  await assertRuns(1);
});

test.serial('a stopped task can start again', async (t) => {
  const { task, assertRuns, pass } = countingTask(t);
  task.start();
  await assertRuns(1);
  await task.stop();
  task.start('after-interval');
  pass(INTERVAL_MS);
  await assertRuns(2);
});

test.serial('no run has the context of the code that constructs, starts or wakes the task', async (t) => {
  const context = new AsyncLocalStorage<string>();
  const contexts: unknown[] = [];
  const run = async () => {
    contexts.push(context.getStore());
  };
  const { task } = context.run('own', () => countingTask(t, { run }));
  context.run('call', () => task.start());
  await poll('the first run', () => contexts.length === 1);
  context.run('call', () => task.wake());
  await poll('the second run', () => contexts.length === 2);
  t.deepEqual(contexts, [undefined, undefined]);
});
