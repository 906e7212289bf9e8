import { finalState, type Row } from '../../table/row.js';
import { clockedStores, declare, type Setup } from '../../table/setup.js';
import { advance, call, replays, retainedFor } from '../../table/steps.js';

const minute = 60_000;
const day = 24 * 60 * minute;
const another = { request: { amountMinor: 2 } };

const retained = (ms: number, setup: Setup): Row => ({
  title: `${ms / minute} minutes: the key replays until its expiry, then executes again`,
  setup,
  steps: [
    ...[call(), retainedFor(ms), advance(ms - minute), replays()],
    ...[advance(minute), call(another), retainedFor(ms)],
  ],
  final: finalState('completed', 2, 2),
  counts: { executed: 2, replayed: 1 },
});

/** The policy field `ttl`. */
export const retentionRows: readonly Row[] = [
  {
    ...retained(day, {}),
    title: '24 hours by default: the key replays until its expiry, then executes again',
  },
  retained(10 * minute, { policy: { retentionMs: 10 * minute }, declared: declare('ttl: {seconds: 600}') }),
  {
    ...retained(20 * minute, { guard: { retentionMs: 20 * minute } }),
    title: 'not set: the method has the retention of the server',
  },
  {
    title: 'a fraction of a second: the key expires to the millisecond',
    stores: clockedStores,
    setup: { policy: { retentionMs: 90_500 }, declared: declare('ttl: {seconds: 90, nanos: 500000000}') },
    steps: [call(), retainedFor(90_500), advance(90_499), replays(), advance(1), call(another)],
    final: finalState('completed', 2, 2),
    counts: { executed: 2, replayed: 1 },
  },
];
