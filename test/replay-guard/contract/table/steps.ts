import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { MethodPolicy, ModeSettings } from 'grpc-replay-guard';
import { poll } from '../../../helpers/waiting/poll.js';
import { type CallInput, operationIdOf } from './call-input.js';
import { assertResult, type CallResult, metadataEntries } from './call-result.js';
import type { Servers } from './engine-servers.js';
import { type Expected, ok } from './expected-result.js';
import { Scrape } from './metrics-scrape.js';
import type { Counts, Step } from './row.js';
import type { RowRun, StartedCall, State } from './row-run.js';

/** Makes a call, and asserts its result. */
export const call =
  (sent: CallInput = {}, expected: Expected = ok): Step =>
  async (run) =>
    assertEnd(run, await run.start(sent), expected);

/** Makes a call, and asserts that its result is a complete replay of the first reply to this operation. */
export const replays =
  (sent: CallInput = {}): Step =>
  async (run) =>
    assertReplay(run, await run.start(sent));

/** Returns the input of a call of the row's producer. @param epoch if omitted, the call sends no epoch */
export const at = (sequence: number | bigint, epoch?: number | bigint): CallInput => ({
  sequence: { sequence, ...(epoch !== undefined && { epoch }) },
});

/** Makes one call after another, with the sequences from `first` to `last`. */
export const calls = (first: number, last: number, epoch?: number): Step[] =>
  Array.from({ length: last - first + 1 }, (_, index) => call(at(first + index, epoch)));

/** Starts a call, and waits only until a guard has received it. */
export const start =
  (sent: CallInput = {}): Step =>
  async (run) => {
    const before = run.guardedCalls;
    run.startedCalls.push(await run.start(sent));
    await poll('the guard receives the call', () => run.guardedCalls > before);
    await nextTurn();
  };

/** Waits until an execution waits at its gate. */
export const held =
  (execution = 1): Step =>
  (run) =>
    run.gate(execution).reached();

/** Opens the gate of an execution. */
export const release =
  (execution = 1): Step =>
  async (run) =>
    run.gate(execution).open();

/** Awaits the oldest started call, and asserts its result. */
export const ends =
  (expected: Expected = ok): Step =>
  (run) =>
    assertEnd(run, takeOldest(run), expected);

/** Awaits the oldest started call, and asserts that its result is a replay of the first reply. */
export const endsReplayed: Step = (run) => assertReplay(run, takeOldest(run));

/** Cancels the oldest started call on its client. */
export const cancel: Step = async (run) => run.startedCalls[0]?.cancel();

/** Asserts that started calls have received no message. A round trip on the connection flushes earlier messages. */
export const noMessageYet: Step = async (run) => {
  await assertEnd(run, await run.start({ method: 'Read', key: null }), { code: status.OK });
  for (const { messagesReceived } of run.startedCalls) run.t.is(messagesReceived(), 0);
};

/** Advances the clock of the store. */
export const advance =
  (ms: number): Step =>
  (run) =>
    run.advance(ms);

/** Asserts the states of the records as other sessions see them, and that no effect is committed yet. */
export const statesAre =
  (...states: State[]): Step =>
  async (run) => {
    run.t.deepEqual(await run.states(), states);
    if (run.engine.storeName !== 'memory') run.t.is(await run.effects(), 0);
  };

/** Waits until the records have these states. */
export const statesBecome =
  (...states: State[]): Step =>
  (run) =>
    run.statesBecome(states);

/** Asserts the retention of the row's key, counted from the last claim. */
export const retainedFor =
  (ms: number): Step =>
  (run) =>
    run.assertRetained(ms);

type Labels = Readonly<Record<string, string>>;

/** Waits until a metric has increased by `value` since the start of the row. */
export const metricIs =
  (metric: string, labels: Labels, value: number): Step =>
  ({ servers }) =>
    poll(`${metric} is ${value}`, async () => (await increaseOf(servers, metric, labels)) === value);

/** Waits until a metric has increased since the start of the row. */
export const metricGrows =
  (metric: string, labels: Labels = {}): Step =>
  ({ servers }) =>
    poll(`${metric} grows`, async () => (await increaseOf(servers, metric, labels)) > 0);

async function increaseOf(
  { metrics, scrapeBefore }: Servers,
  metric: string,
  labels: Labels,
): Promise<number> {
  return new Scrape(await metrics.metrics()).sum(metric, labels) - scrapeBefore.sum(metric, labels);
}

/** Asserts the outcomes that mode OBSERVE has counted since the start of the row. */
export const observedCounts =
  (counts: Counts): Step =>
  async ({ t, servers }) => {
    const scrape = new Scrape(await servers.metrics.metrics());
    t.deepEqual(scrape.since(servers.scrapeBefore, 'observed_total'), counts);
  };

/** Asserts the policy of the row's method in the guard's report. */
export const policyIs =
  (policy: Partial<MethodPolicy>): Step =>
  async ({ t, servers, method }) => {
    const report = servers.first.guard.methods().find(({ path }) => path.endsWith(`/${method}`));
    t.like(report?.policy, policy);
  };

/** Changes the modes of the first server's guard. */
export const setModes =
  (settings: ModeSettings): Step =>
  async ({ servers }) =>
    servers.first.guard.setModes(settings);

function takeOldest({ startedCalls }: RowRun): StartedCall {
  const call = startedCalls.shift();
  if (!call) throw new Error('no call was started');
  return call;
}

async function assertEnd(run: RowRun, started: StartedCall, expected: Expected): Promise<void> {
  const [{ sent }, result] = [started, await started.result];
  assertResult(run.t, result, expected, expected.stored ? await expiryOf(run, sent, result) : undefined);
  const id = operationIdOf(sent, run).toString('hex');
  // Mode OBSERVE also stores the first reply, but does not mark it for the client.
  const isStored = expected.stored || (expected.code === status.OK && !run.firstReplies.has(id));
  if (isStored && !expected.replayed) run.firstReplies.set(id, result);
  if (!expected.refusal) return;
  const text = JSON.stringify([result.details, result.trailers.toJSON(), result.statusDetails]);
  for (const secret of [run.key, run.caller, run.account]) run.t.false(text.includes(secret), text);
}

async function assertReplay(run: RowRun, started: StartedCall): Promise<void> {
  const { t } = run;
  const [{ sent }, result] = [started, await started.result];
  const first = run.firstReplies.get(operationIdOf(sent, run).toString('hex'));
  t.like(result, { code: first?.code, details: first?.details, replayed: true });
  t.is(result.messages.length, Number(first?.messages.length));
  t.true(Buffer.concat(result.messages).equals(Buffer.concat(first?.messages ?? [])), 'the same bytes');
  t.is(result.initial === undefined, first?.initial === undefined);
  t.deepEqual(metadataEntries(result.initial), metadataEntries(first?.initial));
  t.deepEqual(metadataEntries(result.trailers), {
    ...metadataEntries(first?.trailers),
    'idempotency-expires-at': [await expiryOf(run, sent, result)],
    'idempotent-replayed': ['true'],
  });
}

/** Returns the expiry that the trailer must have. A later call of a series may have moved the stored expiry. */
async function expiryOf(run: RowRun, sent: CallInput, { trailers }: CallResult): Promise<string> {
  const found = await run.find(sent);
  if (!found || !('expiresAtMs' in found)) return 'no record';
  const received = Date.parse(String(trailers.get('idempotency-expires-at')[0]));
  const movedByMs = found.expiresAtMs - received;
  const isEarlier = sent.sequence && movedByMs > 0 && movedByMs < 10_000;
  return new Date(isEarlier ? received : found.expiresAtMs).toISOString();
}
