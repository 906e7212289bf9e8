import test from 'ava';
import { RetentionClock, TRIAL_MS } from '#library/timing/retention-clock.js';
import { steadyClock } from '#library/timing/steady-clock.js';

const second = 1_000;
const minute = 60_000;
const day = 24 * 60 * minute;

/** A host whose clock runs with a steady clock until it is set. */
class Host {
  clockMs = 1_000 * day;
  steadyMs = 5_000;
  clock = this.open();

  open(): RetentionClock {
    return new RetentionClock(
      () => this.clockMs,
      () => this.steadyMs,
    );
  }

  /** Sets the clock. */
  set(byMs: number): void {
    this.clockMs += byMs;
  }

  /** Time passes, and the clock is read each minute. */
  runs(ms: number): void {
    for (let left = ms; left > 0; left -= minute) {
      const step = Math.min(left, minute);
      this.clockMs += step;
      this.steadyMs += step;
      this.clock.now();
    }
  }

  /** How far the retention time is behind the clock. */
  get lagMs(): number {
    return this.clockMs - this.clock.now();
  }

  /** Another process continues from the state of this process. */
  restarts({ bootedMs }: { bootedMs?: number } = {}): void {
    const state = this.clock.state();
    if (bootedMs !== undefined) this.steadyMs = bootedMs;
    this.clock = this.open();
    this.clock.restore(state);
  }
}

test('the retention time equals a clock that was never set', (t) => {
  const host = new Host();
  host.runs(3 * day);
  t.is(host.lagMs, 0);
});

test('a clock that is two days ahead for four seconds moves the retention time by four seconds', (t) => {
  const host = new Host();
  const before = host.clock.now();
  host.set(2 * day);
  t.is(host.clock.now(), before);
  host.runs(4 * second);
  t.is(host.clock.now(), before + 4 * second);
  host.set(-2 * day);
  t.is(host.lagMs, 0);
});

test('many readings while the clock is ahead do not move the retention time', (t) => {
  const host = new Host();
  const before = host.clock.now();
  host.set(2 * day);
  for (let reading = 0; reading < 100_000; reading++) host.clock.now();
  t.is(host.clock.now(), before);
});

test('the retention time follows a clock that is set back at once, and forward only with the steady clock', (t) => {
  const host = new Host();
  host.set(-2 * day);
  t.is(host.lagMs, 0);
  host.runs(60 * minute);
  host.set(2 * day);
  t.is(host.lagMs, 2 * day);
  host.runs(60 * minute);
  t.is(host.lagMs, 2 * day);
});

test('the retention time catches up after the clock has been ahead for a day of running time', (t) => {
  const host = new Host();
  host.runs(60 * minute);
  host.set(7 * day);
  host.runs(TRIAL_MS - 60 * minute);
  t.is(host.lagMs, 7 * day, 'the trial that had begun before the step proves nothing about the step');
  host.runs(TRIAL_MS);
  t.is(host.lagMs, 0);
});

test('the retention time catches up only as far as the clock was ahead during the whole trial', (t) => {
  const host = new Host();
  host.set(7 * day);
  host.runs(TRIAL_MS);
  host.set(2 * day);
  host.runs(TRIAL_MS / 2);
  host.set(-1 * day);
  host.runs(TRIAL_MS / 2);
  t.is(host.lagMs, 1 * day);
});

test('a long pause between two readings counts as one minute of the trial', (t) => {
  const host = new Host();
  host.set(2 * day);
  for (let reading = 0; reading < 100; reading++) {
    host.clockMs += day;
    host.steadyMs += day;
    host.clock.now();
  }
  t.is(host.lagMs, 2 * day);
});

test('a process that starts while the clock is ahead continues with the retention time of the file', (t) => {
  const host = new Host();
  host.set(2 * day);
  host.runs(second);
  host.restarts();
  t.is(host.lagMs, 2 * day);
  host.runs(3 * second);
  host.set(-2 * day);
  t.is(host.lagMs, 0);
});

test('a restart on a host that keeps running does not delay the retention time', (t) => {
  const host = new Host();
  const state = host.clock.state();
  host.clockMs += 5 * day;
  host.steadyMs += 5 * day;
  host.clock = host.open();
  host.clock.restore(state);
  t.is(host.lagMs, 0);
});

test('after the host was switched off, the retention time lags by that time until it catches up', (t) => {
  const host = new Host();
  host.runs(60 * minute);
  host.set(3 * day);
  host.restarts({ bootedMs: 10 });
  t.is(host.lagMs, 3 * day);
  host.runs(2 * TRIAL_MS);
  t.is(host.lagMs, 0);
});

test('a host that is switched off each night catches up, although no process runs for a day', (t) => {
  const host = new Host();
  for (let days = 0; days < 30; days++) {
    host.runs(day / 2);
    host.set(day / 2);
    host.restarts({ bootedMs: 10 });
  }
  t.true(host.lagMs <= 2 * day, String(host.lagMs));
});

test('the retention time follows a clock that is behind the file at the start of a process', (t) => {
  const host = new Host();
  host.set(-1 * day);
  host.restarts();
  t.is(host.lagMs, 0);
});

test('the steady clock of the host is older than the process and runs with it', (t) => {
  const [before, begun] = [steadyClock(), performance.now()];
  t.true(before > 0);
  while (performance.now() - begun < 2);
  t.true(steadyClock() - before >= 2);
});
