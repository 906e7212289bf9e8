import { clocked, declare, leaves, type Row, type Setup } from '../../table/row.js';
import { call, isRetainedFor, passes, replays } from '../../table/steps.js';

const minute = 60_000;
const day = 24 * 60 * minute;
const another = { request: { amountMinor: 2 } };

const retained = (ms: number, setup: Setup): Row => ({
  line: `ttl: ${ms / minute} minutes`,
  setup,
  steps: [
    ...[call(), isRetainedFor(ms), passes(ms - minute), replays()],
    ...[passes(minute), call(another), isRetainedFor(ms)],
  ],
  leaves: leaves('completed', 2, 2),
  counts: { executed: 2, replayed: 1 },
});

/** Section 4, `ttl`. */
export const retentionRows: readonly Row[] = [
  { ...retained(day, {}), line: 'ttl: by default 24 hours' },
  retained(10 * minute, { policy: { retentionMs: 10 * minute }, declared: declare('ttl: {seconds: 600}') }),
  { ...retained(20 * minute, { guard: { retentionMs: 20 * minute } }), line: 'ttl: as the server is set' },
  {
    line: 'ttl: to the millisecond',
    places: clocked,
    setup: { policy: { retentionMs: 90_500 }, declared: declare('ttl: {seconds: 90, nanos: 500000000}') },
    steps: [call(), isRetainedFor(90_500), passes(90_499), replays(), passes(1), call(another)],
    leaves: leaves('completed', 2, 2),
    counts: { executed: 2, replayed: 1 },
  },
];
