// A process with unhandled rejections. The arguments are the number of open guards and a scenario. The output shows
// the course of each rejection.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { currentExecution, type Execution } from '#library/execution/execution.js';

type Module = typeof import('#library/replay-guard/lifecycle/handler-rejections.js');

const { emit } = process;
const [guards, scenario = ''] = process.argv.slice(2);
const path = '../../../../../interceptors/dist/replay-guard/lifecycle/handler-rejections.js';
/** Two copies of the library in one process, as two versions of it would be. */
const copies: Module[] = await Promise.all(['', '?copy'].map((copy) => import(`${path}${copy}`)));
if (scenario === 'with a frozen emit')
  Object.defineProperty(process, 'emit', { value: emit, configurable: false, writable: false });
const open = Array.from({ length: Number(guards) }, (_, index) =>
  (copies[index % 2] as Module).catchHandlerRejections(),
);

/** Rejects in the context of a guarded call. */
async function rejectInHandler(): Promise<void> {
  const fail = (error: unknown) => console.log('failed', (error as Error).message);
  currentExecution.run({ fail } as Execution, () => void Promise.reject(new Error('a handler failed')));
  await nextTurn();
}

/** Rejects without a handler, and waits until Node has judged the rejection. */
async function reject(reason: unknown): Promise<void> {
  Promise.reject(reason);
  await nextTurn();
  await nextTurn();
}

const scenarios: Record<string, () => Promise<void>> = {
  alone: () => reject(new Error('a background job failed')),
  'of a value': () => reject('a text'),
  'with listeners': async () => {
    process.on('uncaughtExceptionMonitor', (error, origin) => console.log('monitor', origin, error.message));
    process.on('uncaughtException', (error, origin) => console.log('exception', origin, error.message));
    await reject(new Error('before the listener'));
    const listener = (reason: unknown) => console.log('listener', (reason as Error).message);
    process.on('unhandledRejection', listener);
    await reject(new Error('with a listener'));
    process.removeListener('unhandledRejection', listener);
    await reject(new Error('after the listener'));
    for (const close of open) close();
    await reject(new Error('after the guards'));
  },
  'of a handler': async () => {
    process.on('unhandledRejection', () => console.log('a listener received the rejection'));
    await rejectInHandler();
  },
  // As `signal-exit` does for each child process: it calls and restores the function that it found when it was loaded.
  'of a handler after a child process': async () => {
    process.emit = ((...event: Parameters<typeof emit>) => emit.apply(process, event)) as typeof emit;
    await rejectInHandler();
    process.emit = emit;
    await rejectInHandler();
    // The guard of the copy that was loaded later closes. The guards of the other copy are still open.
    open[1]?.();
    await rejectInHandler();
    for (const close of open) close();
    console.log(process.emit === emit);
  },
  'with a frozen emit': () => reject(new Error('a background job failed')),
  'of a handler after emit was sealed': async () => {
    Object.defineProperty(process, 'emit', { configurable: false });
    for (const close of open) close();
    await reject(new Error('after the guards'));
    (copies[0] as Module).catchHandlerRejections();
    await rejectInHandler();
  },
};

await scenarios[scenario]?.();
console.log('alive');
