import test from 'ava';
import { LazySignal } from '#library/timing/lazy-signal.js';

test('a signal that is read before the abort is aborted with the reason', (t) => {
  const lazy = new LazySignal();
  const { signal } = lazy;
  const reasons: unknown[] = [];
  signal.addEventListener('abort', () => reasons.push(signal.reason));
  t.false(lazy.isAborted);
  lazy.abort('first');
  lazy.abort('second');
  t.true(lazy.isAborted);
  t.deepEqual(reasons, ['first']);
  t.is(lazy.signal, signal);
});

test('a signal that is read after the abort is aborted with the reason', (t) => {
  const lazy = new LazySignal();
  lazy.abort('gone');
  t.true(lazy.isAborted);
  t.true(lazy.signal.aborted);
  t.is(lazy.signal.reason, 'gone');
});

test('an abort without a reason gives an AbortError', (t) => {
  const lazy = new LazySignal();
  lazy.abort();
  t.is((lazy.signal.reason as Error).name, 'AbortError');
});
