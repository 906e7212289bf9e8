import { status } from '@grpc/grpc-js';
import { engines } from '../../../../helpers/databases/engines.js';
import { refusals, stored } from '../../table/expected-result.js';
import { endsWith, type Script, writesAndWaits } from '../../table/handlers.js';
import { executedOnce, failureStored, type Row } from '../../table/row.js';
import { clockedStores, everyKind, type Setup } from '../../table/setup.js';
import { advance, call, ends, held, release, replays, start } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };
const underLease = ['Transfer', 'Sweep'] as const;
const inTransaction = ['Append', 'Settle'] as const;
/** Two servers on the same data. Their duplicates do not wait for a running execution. */
const noWait: Setup = { policy: { waitMs: 0 }, methods: everyKind, second: {} };

/** Waits at the gate before the write. */
const waitsAndWrites: Script = async ({ write, respond, gate }) => {
  await gate.pass();
  await write();
  respond();
};

const reused: Row[] = [
  {
    title: 'a completed key with another payload is refused as reused',
    methods: everyKind,
    steps: [call(), call(another, refusals.keyReused), replays()],
    final: executedOnce,
    counts: { executed: 1, reused: 1, replayed: 1 },
  },
  {
    title: 'a key with a stored failure and another payload is refused as reused',
    handler: endsWith(status.NOT_FOUND),
    steps: [call({}, stored(status.NOT_FOUND)), call(another, refusals.keyReused)],
    final: failureStored,
    counts: { executed: 1, reused: 1 },
  },
  {
    title: 'a running key with another payload is refused as reused, not as in progress',
    methods: everyKind,
    handler: writesAndWaits,
    steps: [start(), held(), call(another, refusals.keyReused), release(), ends()],
    final: executedOnce,
    counts: { executed: 1, reused: 1 },
  },
  {
    title: 'a key that another server executes, with another payload, is refused as reused',
    methods: underLease,
    handler: writesAndWaits,
    setup: noWait,
    steps: [start(), held(), call({ ...another, second: true }, refusals.keyReused), release(), ends()],
    final: executedOnce,
    counts: { executed: 1, reused: 1 },
  },
  {
    title:
      'an open transaction hides its payload: another server refuses another payload as in progress, and as reused after the commit',
    methods: inTransaction,
    stores: engines,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[start(), held(), call({ ...another, second: true }, refusals.inProgress)],
      ...[release(), ends(), call({ ...another, second: true }, refusals.keyReused)],
    ],
    final: executedOnce,
    counts: { executed: 1, in_progress: 1, reused: 1 },
  },
];

const inProgress: Row[] = [
  {
    title: 'a duplicate whose wait ends before the execution is refused as in progress on both servers',
    methods: everyKind,
    handler: writesAndWaits,
    setup: noWait,
    steps: [
      ...[start(), held(), call({}, refusals.inProgress), call({ second: true }, refusals.inProgress)],
      ...[release(), ends(), replays(), replays({ second: true })],
    ],
    final: executedOnce,
    counts: { executed: 1, in_progress: 2, replayed: 2 },
  },
  {
    title: 'the pushback of an in-progress refusal grows with the age of the execution, up to 5 seconds',
    methods: underLease,
    stores: clockedStores,
    handler: waitsAndWrites,
    setup: noWait,
    steps: [
      ...[start(), held(), advance(3_000), call({ second: true }, pushedBack(3_000, 4_900))],
      ...[advance(20_000), call({ second: true }, pushedBack(5_000, 5_000)), release(), ends()],
    ],
    final: executedOnce,
    counts: { executed: 1, in_progress: 2 },
  },
];

function pushedBack(minMs: number, maxMs: number) {
  const refusal = { reason: 'IDEMPOTENCY_KEY_IN_PROGRESS', retryMs: [minMs, maxMs] as const };
  return { ...refusals.inProgress, refusal };
}

/** The refusals of a known key: with another payload, and while its first execution runs. */
export const reuseRows: readonly Row[] = [...reused, ...inProgress];
