import test from 'ava';
import { backoffMs } from 'grpc-replay-guard/timing';

const bounds = { initialMs: 100, maxMs: 1_000 };

test('a pause doubles with each failure up to its upper bound', (t) => {
  const pauses = [0, 1, 2, 3, 4, 5].map((failures) => backoffMs(bounds, failures));
  t.deepEqual(pauses, [100, 200, 400, 800, 1_000, 1_000]);
});

test('a pause stays at its upper bound after any number of failures', (t) => {
  for (const failures of [32, 1_000, Number.MAX_SAFE_INTEGER]) t.is(backoffMs(bounds, failures), 1_000);
});

test('an initial pause above the upper bound is shortened', (t) => {
  t.is(backoffMs({ initialMs: 5_000, maxMs: 1_000 }, 0), 1_000);
});

test('half jitter gives between half and all of the pause', (t) => {
  t.deepEqual(
    [0, 0.5, 1].map((random) => backoffMs(bounds, 2, 'half', random)),
    [200, 300, 400],
  );
});

test('full jitter gives between 0 and all of the pause', (t) => {
  t.deepEqual(
    [0, 0.5, 1].map((random) => backoffMs(bounds, 2, 'full', random)),
    [0, 200, 400],
  );
});

test('jitter is random by default and stays within its bounds', (t) => {
  const pauses = Array.from({ length: 100 }, () => backoffMs(bounds, 0, 'half'));
  t.true(pauses.every((pause) => pause >= 50 && pause <= 100));
  t.true(new Set(pauses).size > 1);
});
