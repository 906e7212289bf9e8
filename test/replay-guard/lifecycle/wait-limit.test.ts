import test from 'ava';
import type { GuardedCall } from '#library/replay-guard/call/guarded-call.js';
import { Wait } from '#library/replay-guard/lifecycle/wait.js';

const never = new AbortController().signal;
const waitOf = (ended: AbortSignal) =>
  new Wait({ remainingMs: Number.POSITIVE_INFINITY, ended } as GuardedCall, never, 60_000);

/** Resolves to a text after several microtasks, as a look-up of an embedded store does. */
async function lookUp(): Promise<string> {
  for (let i = 0; i < 10; i++) await undefined;
  return 'found';
}

test('a look-up that needs no timer gives its result after the call has ended', async (t) => {
  t.is(await waitOf(AbortSignal.abort()).resultOf(lookUp()), 'found');
});

test('a look-up that does not end gives no result after the call has ended', async (t) => {
  t.is(await waitOf(AbortSignal.abort()).resultOf(new Promise(() => {})), undefined);
});

test('the end of a call ends the wait for a result', async (t) => {
  const ended = new AbortController();
  const waiting = waitOf(ended.signal).resultOf(new Promise(() => {}));
  ended.abort();
  t.is(await waiting, undefined);
});
