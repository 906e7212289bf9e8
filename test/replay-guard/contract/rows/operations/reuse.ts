import { status } from '@grpc/grpc-js';
import { engines } from '../../../../helpers/databases/engines.js';
import { keeps, refusals } from '../../table/expected-result.js';
import { endsWith, type Script, writesAndWaits } from '../../table/handlers.js';
import { clocked, everyKind, keptFailure, once, type Row, type Setup } from '../../table/row.js';
import { begins, call, ends, isHeld, letsGo, passes, replays } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };
const underLease = ['Transfer', 'Sweep'] as const;
const inTransaction = ['Append', 'Settle'] as const;
/** Two servers on the same data whose duplicates do not wait. */
const impatient: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };

/** An execution that has not yet written when the test holds it. */
const waitsAndWrites: Script = async ({ write, say, gate }) => {
  await gate.pass();
  await write();
  say();
};

const reused: Row[] = [
  {
    line: 'a key that is known with another payload',
    methods: everyKind,
    steps: [call(), call(another, refusals.keyReused), replays()],
    leaves: once,
    counts: { executed: 1, reused: 1, replayed: 1 },
  },
  {
    line: 'a key that is known with another payload, of a failure that is kept',
    handler: endsWith(status.NOT_FOUND),
    steps: [call({}, keeps(status.NOT_FOUND)), call(another, refusals.keyReused)],
    leaves: keptFailure,
    counts: { executed: 1, reused: 1 },
  },
  {
    line: 'another payload is found out before it is in progress',
    methods: everyKind,
    handler: writesAndWaits,
    steps: [begins(), isHeld(), call(another, refusals.keyReused), letsGo(), ends()],
    leaves: once,
    counts: { executed: 1, reused: 1 },
  },
  {
    line: 'another payload is found out before it is in progress at another server',
    methods: underLease,
    handler: writesAndWaits,
    setup: impatient,
    steps: [begins(), isHeld(), call({ ...another, second: true }, refusals.keyReused), letsGo(), ends()],
    leaves: once,
    counts: { executed: 1, reused: 1 },
  },
  {
    line: 'an open transaction hides from another server of what payload its key is',
    methods: inTransaction,
    places: engines,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[begins(), isHeld(), call({ ...another, second: true }, refusals.inProgress)],
      ...[letsGo(), ends(), call({ ...another, second: true }, refusals.keyReused)],
    ],
    leaves: once,
    counts: { executed: 1, in_progress: 1, reused: 1 },
  },
];

const inProgress: Row[] = [
  {
    line: 'the first execution still runs after the wait',
    methods: everyKind,
    handler: writesAndWaits,
    setup: impatient,
    steps: [
      ...[begins(), isHeld(), call({}, refusals.inProgress), call({ second: true }, refusals.inProgress)],
      ...[letsGo(), ends(), replays(), replays({ second: true })],
    ],
    leaves: once,
    counts: { executed: 1, in_progress: 2, replayed: 2 },
  },
  {
    line: 'pushback grows with the age of the execution, up to 5 seconds',
    methods: underLease,
    places: clocked,
    handler: waitsAndWrites,
    setup: impatient,
    steps: [
      ...[begins(), isHeld(), passes(3_000), call({ second: true }, pushedBack(3_000, 4_900))],
      ...[passes(20_000), call({ second: true }, pushedBack(5_000, 5_000)), letsGo(), ends()],
    ],
    leaves: once,
    counts: { executed: 1, in_progress: 2 },
  },
];

function pushedBack(least: number, most: number) {
  const refusal = { reason: 'IDEMPOTENCY_KEY_IN_PROGRESS', retryMs: [least, most] as const };
  return { ...refusals.inProgress, refusal };
}

/** Section 2, a key that is known: with another payload, and while its first execution runs. */
export const reuseRows: readonly Row[] = [...reused, ...inProgress];
