import { AsyncLocalStorage } from 'node:async_hooks';
import test from 'ava';
import { Deadlines } from '#library/timing/deadlines.js';

/** Counts the timers that `work` starts. */
function timersOf(work: () => void): number {
  const { setTimeout: original } = globalThis;
  let count = 0;
  globalThis.setTimeout = ((...args: Parameters<typeof setTimeout>) => {
    count++;
    return original(...args);
  }) as typeof setTimeout;
  try {
    work();
  } finally {
    globalThis.setTimeout = original;
  }
  return count;
}

/** Keeps the process alive during a test, because deadlines do not. */
function keepAlive(t: { teardown(end: () => void): void }): void {
  const timer = setInterval(() => {}, 1_000);
  t.teardown(() => clearInterval(timer));
}

test('a deadline never expires early', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  for (const ms of [0, 1, 5, 33, 150]) {
    const startedAt = performance.now();
    await new Promise<void>((resolve) => deadlines.set(ms, resolve));
    t.true(performance.now() - startedAt >= ms, `${ms} ms`);
  }
});

test('deadlines that are set at about the same time share a timer', (t) => {
  const deadlines = new Deadlines();
  const timers = timersOf(() => {
    for (let i = 0; i < 100; i++) deadlines.set(60_000, () => {});
  });
  t.true(timers <= 2, `${timers} timers`);
});

test('a cancelled deadline does not run, and the other deadlines of its timer run', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  const expired: string[] = [];
  const cancelled = deadlines.set(30, () => expired.push('cancelled'));
  const first = deadlines.set(30, () => {
    expired.push('first');
    late.cancel();
  });
  const late = deadlines.set(30, () => expired.push('cancelled by the first'));
  cancelled.cancel();
  await new Promise<void>((resolve) => deadlines.set(50, resolve));
  t.deepEqual(expired, ['first']);
  first.cancel();
});

test('the same action can be set twice', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  let runs = 0;
  const action = () => {
    runs++;
  };
  deadlines.set(10, action);
  deadlines.set(10, action);
  await new Promise<void>((resolve) => deadlines.set(40, resolve));
  t.is(runs, 2);
});

test('an action does not run in the context of the code that set the deadline', async (t) => {
  keepAlive(t);
  const context = new AsyncLocalStorage<string>();
  const deadlines = new Deadlines();
  const contexts: unknown[] = [];
  await new Promise<void>((resolve) => {
    context.run('a call', () => {
      deadlines.set(10, () => {
        contexts.push(context.getStore());
        resolve();
      });
    });
  });
  t.deepEqual(contexts, [undefined]);
});

test.serial('an action that throws is an uncaught exception, and the actions after it run', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  const uncaught: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  t.teardown(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  });
  const failure = new Error('on purpose');
  deadlines.set(10, () => {
    throw failure;
  });
  await new Promise<void>((resolve) => deadlines.set(10, resolve));
  await new Promise<void>((resolve) => deadlines.set(10, resolve));
  t.deepEqual(uncaught, [failure]);
});

test('a deadline beyond the longest timer does not expire at once', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  let isExpired = false;
  deadlines.set(2 ** 31 - 1, () => {
    isExpired = true;
  });
  await new Promise<void>((resolve) => deadlines.set(30, resolve));
  t.false(isExpired);
});

test('cancelled deadlines leave few timers, and a deadline among them expires', async (t) => {
  keepAlive(t);
  const deadlines = new Deadlines();
  const { setTimeout: start, clearTimeout: clear } = globalThis;
  const open = new Set<unknown>();
  globalThis.setTimeout = ((...args: Parameters<typeof setTimeout>) => {
    const timer = start(...args);
    open.add(timer);
    return timer;
  }) as typeof setTimeout;
  globalThis.clearTimeout = (timer) => {
    open.delete(timer);
    clear(timer);
  };
  let expired: Promise<void> | undefined;
  try {
    expired = new Promise<void>((resolve) => deadlines.set(50, resolve));
    for (let hours = 1; hours <= 1_000; hours++) deadlines.set(hours * 3_600_000, () => {}).cancel();
  } finally {
    Object.assign(globalThis, { setTimeout: start, clearTimeout: clear });
  }
  t.true(open.size < 100, `${open.size} timers`);
  await expired;
});
