import { setImmediate as nextTurn } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import type { MethodPolicy, ModeSettings } from 'grpc-replay-guard';
import { poll } from '../../../helpers/waiting/poll.js';
import { assertHeard, entriesOf, type Heard } from './call-result.js';
import type { Servers } from './engine-servers.js';
import { type Expected, ok } from './expected-result.js';
import { Scrape } from './metrics-scrape.js';
import type { Counts, State, Step } from './row.js';
import type { Begun, Sent, Stage } from './row-run.js';

/** A call, and what its client gets. */
export const call =
  (sent: Sent = {}, expected: Expected = ok): Step =>
  async (stage) =>
    assertEnd(stage, await stage.begin(sent), expected);

/** A call that gets the first reply under its key again: all of it, and marked as such. */
export const replays =
  (sent: Sent = {}): Step =>
  async (stage) =>
    assertReplay(stage, await stage.begin(sent));

/** A call with a number of the row's producer. @param epoch none is sent where it is left out */
export const at = (sequence: number | bigint, epoch?: number | bigint): Sent => ({
  sequence: { sequence, ...(epoch !== undefined && { epoch }) },
});

/** One call after the other, with the numbers from `first` to `last`. */
export const calls = (first: number, last: number, epoch?: number): Step[] =>
  Array.from({ length: last - first + 1 }, (_, index) => call(at(first + index, epoch)));

/** A call that is not waited for, only until it has come to the guard. */
export const begins =
  (sent: Sent = {}): Step =>
  async (stage) => {
    const before = stage.arrivals;
    stage.begun.push(await stage.begin(sent));
    await poll('the call arrives', () => stage.arrivals > before);
    await nextTurn();
  };

/** Waits until an execution stands at its gate. */
export const isHeld =
  (execution = 1): Step =>
  (stage) =>
    stage.gate(execution).reached();

export const letsGo =
  (execution = 1): Step =>
  async (stage) =>
    stage.gate(execution).open();

/** The oldest call that was begun ends so. */
export const ends =
  (expected: Expected = ok): Step =>
  (stage) =>
    assertEnd(stage, oldest(stage), expected);

/** The oldest call that was begun gets the first reply. */
export const endsReplayed: Step = (stage) => assertReplay(stage, oldest(stage));

/** The client of the oldest call that was begun cancels it. */
export const leaves: Step = async (stage) => stage.begun[0]?.leave();

/** No message of the calls that were begun has come: a round trip on their connection would have found it. */
export const nothingHasCome: Step = async (stage) => {
  await assertEnd(stage, await stage.begin({ method: 'Read', key: null }), { code: status.OK });
  for (const { came } of stage.begun) stage.t.is(came(), 0);
};

/** Time passes for the store. */
export const passes =
  (ms: number): Step =>
  (stage) =>
    stage.passes(ms);

/** What another server sees meanwhile: the states of records, and no effect. */
export const holds =
  (...states: State[]): Step =>
  async (stage) => {
    stage.t.deepEqual(await stage.states(), states);
    if (stage.site.place !== 'memory') stage.t.is(await stage.effects(), 0);
  };

/** Waits until there are these records. */
export const settles =
  (...states: State[]): Step =>
  (stage) =>
    stage.settles(states);

/** The key of the last call is retained for so long from its claim on. */
export const isRetainedFor =
  (ms: number): Step =>
  (stage) =>
    stage.assertRetained(ms);

type Labels = Readonly<Record<string, string>>;

/** What a metric has counted since the row began. */
export const shows =
  (metric: string, labels: Labels, value: number): Step =>
  ({ servers }) =>
    poll(`${metric} is ${value}`, async () => (await increaseOf(servers, metric, labels)) === value);

/** A metric is more than it was when the row began. */
export const grows =
  (metric: string, labels: Labels = {}): Step =>
  ({ servers }) =>
    poll(`${metric} grows`, async () => (await increaseOf(servers, metric, labels)) > 0);

async function increaseOf({ metrics, scraped }: Servers, metric: string, labels: Labels): Promise<number> {
  return new Scrape(await metrics.metrics()).sum(metric, labels) - scraped.sum(metric, labels);
}

/** What mode OBSERVE has counted since the row began. */
export const wouldHaveBeen =
  (counts: Counts): Step =>
  async ({ t, servers }) => {
    const scrape = new Scrape(await servers.metrics.metrics());
    t.deepEqual(scrape.since(servers.scraped, 'observed_total'), counts);
  };

/** What the row's method is set to, as the guard tells. */
export const isSetTo =
  (policy: Partial<MethodPolicy>): Step =>
  async ({ t, servers, method }) => {
    const report = servers.first.guard.methods().find(({ path }) => path.endsWith(`/${method}`));
    t.like(report?.policy, policy);
  };

export const setsModes =
  (settings: ModeSettings): Step =>
  async ({ servers }) =>
    servers.first.guard.setModes(settings);

function oldest({ begun }: Stage): Begun {
  const call = begun.shift();
  if (!call) throw new Error('no call was begun');
  return call;
}

async function assertEnd(stage: Stage, { sent, heard: coming }: Begun, expected: Expected): Promise<void> {
  const heard = await coming;
  assertHeard(stage.t, heard, expected, expected.kept ? await expiryOf(stage, sent, heard) : undefined);
  const id = stage.idOf(sent).toString('hex');
  // In mode OBSERVE the first reply is recorded as well, and its client not told.
  const isRecorded = expected.kept || (expected.code === status.OK && !stage.kept.has(id));
  if (isRecorded && !expected.replayed) stage.kept.set(id, heard);
  if (!expected.refusal) return;
  const said = JSON.stringify([heard.details, heard.trailers.toJSON(), heard.statusDetails]);
  for (const secret of [stage.key, stage.caller, stage.account]) stage.t.false(said.includes(secret), said);
}

async function assertReplay(stage: Stage, { sent, heard: coming }: Begun): Promise<void> {
  const { t } = stage;
  const heard = await coming;
  const first = stage.kept.get(stage.idOf(sent).toString('hex'));
  t.like(heard, { code: first?.code, details: first?.details, replayed: true });
  t.is(heard.messages.length, Number(first?.messages.length));
  t.true(Buffer.concat(heard.messages).equals(Buffer.concat(first?.messages ?? [])), 'the same bytes');
  t.is(heard.initial === undefined, first?.initial === undefined);
  t.deepEqual(entriesOf(heard.initial), entriesOf(first?.initial));
  t.deepEqual(entriesOf(heard.trailers), {
    ...entriesOf(first?.trailers),
    'idempotency-expires-at': [await expiryOf(stage, sent, heard)],
    'idempotent-replayed': ['true'],
  });
}

/** Until when the store says that it keeps the key of a call; of a series a later call may have moved it on. */
async function expiryOf(stage: Stage, sent: Sent, { trailers }: Heard): Promise<string> {
  const found = await stage.find(sent);
  if (!found || !('expiresAtMs' in found)) return 'no record';
  const said = Date.parse(String(trailers.get('idempotency-expires-at')[0]));
  const movedOn = found.expiresAtMs - said;
  const isEarlier = sent.sequence && movedOn > 0 && movedOn < 10_000;
  return new Date(isEarlier ? said : found.expiresAtMs).toISOString();
}
