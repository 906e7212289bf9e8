import test, { type ExecutionContext } from 'ava';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import { type Metric, Registry } from 'prom-client';
import { type Handler, openLedger } from '../helpers/servers/guarded-ledger.js';
import type { AppendRequest, AppendResponse } from '../helpers/servers/ledger.js';
import { Barrier } from '../helpers/waiting/barrier.js';
import { poll } from '../helpers/waiting/poll.js';

/** Handlers of Append that wait, each until the test ends it. */
class HeldCalls {
  readonly entered = new Barrier();
  readonly #ends: (() => void)[] = [];

  readonly handler: Handler<AppendRequest, AppendResponse> = (_call, callback) => {
    this.#ends.push(() => callback(null, {}));
    void this.entered.pass();
  };

  /** Ends the handler that has waited longest. */
  endFirst(): void {
    this.#ends.shift()?.();
  }
}

/** Opens a guarded service with metrics in a registry. */
async function open(t: ExecutionContext, register: Registry, observers = 1) {
  const held = new HeldCalls();
  const observer = Array.from({ length: observers }, () => createPrometheusObserver(register));
  const handlers = () => ({ Append: held.handler });
  const ledger = await openLedger(t, 'memory', { guard: { observer }, handlers });
  return { held, ledger };
}

/** Resolves to the age that a scrape shows for a method, in seconds. */
async function ageIn(register: Registry, method = 'Append'): Promise<number | undefined> {
  const metric = register.getSingleMetric('replay_guard_oldest_execution_age_seconds') as Metric;
  const values = (await metric.get()).values.filter(({ labels }) => labels.method === method);
  return values.length === 1 ? values[0]?.value : undefined;
}

const older = (register: Registry, seconds: number) =>
  poll(`an age above ${seconds} s`, async () => ((await ageIn(register)) ?? 0) > seconds);

test('the age is that of the oldest execution of the method, and 0 without one', async (t) => {
  const register = new Registry();
  const { held, ledger } = await open(t, register);
  t.is(await ageIn(register), 0);
  const first = ledger.append('first');
  await held.entered.reached(1);
  await older(register, 0.02);
  const second = ledger.append('second');
  await held.entered.reached(2);
  const [before = 0, other] = [await ageIn(register), await ageIn(register, 'Transfer')];
  t.true(before > 0.02);
  t.is(other, 0);
  held.endFirst();
  await first;
  const after = (await ageIn(register)) ?? 0;
  t.true(after > 0 && after < before, `${after} of the second, ${before} of the first`);
  held.endFirst();
  await second;
  t.is(await ageIn(register), 0);
});

test('the guards of one registry show the age of the oldest execution of all', async (t) => {
  const register = new Registry();
  const servers = [await open(t, register, 2), await open(t, register)] as const;
  const [first, second] = servers;
  const replies = [first.ledger.append('one')];
  await first.held.entered.reached();
  await older(register, 0.02);
  replies.push(second.ledger.append('two'));
  await second.held.entered.reached();
  t.true(((await ageIn(register)) ?? 0) > 0.02);
  for (const { held } of servers) held.endFirst();
  await Promise.all(replies);
  t.is(await ageIn(register), 0);
});

test('an execution that the guard has ended no longer counts, although its handler still runs', async (t) => {
  const register = new Registry();
  const { held, ledger } = await open(t, register);
  const reply = ledger.append('stopped');
  await held.entered.reached();
  await ledger.guard.close({ timeoutMs: 0 });
  t.is((await reply).code, 14);
  t.is(await ageIn(register), 0);
});
