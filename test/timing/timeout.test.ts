import { mock } from 'node:test';
import test, { type ExecutionContext } from 'ava';
import { type WaitEnd, within } from 'grpc-replay-guard/timing';

/** A promise that the test resolves or rejects. */
function deferred<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

function controlTime(t: ExecutionContext): (ms: number) => void {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => mock.timers.reset());
  return (ms) => mock.timers.tick(ms);
}

const otherwise = (end: WaitEnd) => end;

test.serial('work that ends within the limit gives its result', async (t) => {
  const pass = controlTime(t);
  const work = deferred<string>();
  const waiting = within(work.promise, { ms: 100, otherwise });
  pass(99);
  work.resolve('done');
  t.is(await waiting, 'done');
});

test.serial('work that fails within the limit gives its error', async (t) => {
  const error = new Error('failed');
  t.is(await t.throwsAsync(within(Promise.reject(error), { ms: 100, otherwise })), error);
});

test.serial('a time limit ends the wait, and a late result reaches the late function', async (t) => {
  const pass = controlTime(t);
  const work = deferred<string>();
  const late = deferred<string>();
  const waiting = within(work.promise, { ms: 100, otherwise, late: late.resolve });
  pass(100);
  t.is(await waiting, 'timeout');
  work.resolve('too late');
  t.is(await late.promise, 'too late');
});

test.serial('an aborted signal ends the wait', async (t) => {
  const controller = new AbortController();
  const waiting = within(new Promise(() => {}), { signal: controller.signal, otherwise });
  controller.abort();
  t.is(await waiting, 'aborted');
});

test.serial('a signal that is already aborted ends the wait at once', async (t) => {
  t.is(await within(new Promise(() => {}), { signal: AbortSignal.abort(), otherwise }), 'aborted');
});

test.serial('work that ends in its own abort listener wins over the abort', async (t) => {
  const controller = new AbortController();
  const { signal } = controller;
  const work = deferred<string>();
  signal.addEventListener('abort', () => work.resolve('ended'));
  const waiting = within(work.promise, { signal, otherwise });
  controller.abort();
  t.is(await waiting, 'ended');
});

test.serial('work that has ended wins over a signal that is already aborted', async (t) => {
  t.is(await within(Promise.resolve('ended'), { signal: AbortSignal.abort(), otherwise }), 'ended');
});

test.serial('a time limit can let the process end', (t) => {
  const resources = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = resources();
  void within(new Promise(() => {}), { ms: 60_000, otherwise, keepsProcessAlive: false });
  t.is(resources(), before);
});

test.serial('an error of the otherwise function rejects the wait', async (t) => {
  const pass = controlTime(t);
  const error = new Error('expired');
  const waiting = within(new Promise(() => {}), {
    ms: 100,
    otherwise: () => {
      throw error;
    },
  });
  pass(100);
  t.is(await t.throwsAsync(waiting), error);
});

test.serial('a rejection after the limit is dropped', async (t) => {
  const pass = controlTime(t);
  const work = deferred<string>();
  const waiting = within(work.promise, { ms: 100, otherwise });
  pass(100);
  work.reject(new Error('too late'));
  // Ava fails the file if the rejection is unhandled.
  t.is(await waiting, 'timeout');
});

test.serial('a wait that has ended keeps no listener on its signal', async (t) => {
  const controller = new AbortController();
  const ends: WaitEnd[] = [];
  const limit = { signal: controller.signal, otherwise: (end: WaitEnd) => ends.push(end) };
  await within(Promise.resolve(), limit);
  controller.abort();
  t.deepEqual(ends, []);
});
