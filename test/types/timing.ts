import {
  type Backoff,
  backoffMs,
  type Jitter,
  RepeatingTask,
  type WaitEnd,
  within,
} from 'grpc-replay-guard/timing';
import { expectType } from './expect-type.js';

// The result of a limited wait is the result of the work or of `otherwise`.
const work = Promise.resolve(1);
expectType<Promise<number | string>>()(within(work, { ms: 100, otherwise: () => 'late' }));
const otherwise = (end: WaitEnd): never => {
  throw new Error(end);
};
expectType<Promise<number>>()(within(work, { ms: 100, otherwise }));
expectType<Promise<number>>()(within(work, { signal: AbortSignal.timeout(1), otherwise, late: () => {} }));
// @ts-expect-error `otherwise` is missing
within(work, { ms: 100 });
// @ts-expect-error an unknown limit
within(work, { timeoutMs: 100, otherwise });
expectType<'timeout' | 'aborted'>()('timeout' as WaitEnd);

const backoff: Backoff = { initialMs: 100, maxMs: 1_000 };
expectType<number>()(backoffMs(backoff, 0));
expectType<number>()(backoffMs(backoff, 3, 'full', 0.5));
// @ts-expect-error an unknown jitter
backoffMs(backoff, 0, 'double');
// @ts-expect-error `maxMs` is missing
backoffMs({ initialMs: 100 }, 0);
expectType<'none' | 'half' | 'full'>()('none' as Jitter);

const task = new RepeatingTask({ run: async () => {}, intervalMs: 1_000, onError: () => {} });
task.start('after-interval');
// @ts-expect-error an unknown start
task.start('later');
expectType<void>()(task.wakeIn(10));
expectType<Promise<void>>()(task.stop());
// @ts-expect-error `onError` is missing
new RepeatingTask({ run: async () => {}, intervalMs: 1_000 });
// @ts-expect-error a run is asynchronous
new RepeatingTask({ run: () => true, intervalMs: 1_000, onError: () => {} });
