import { status } from '@grpc/grpc-js';
import { keeps, refusals } from '../../table/expected-result.js';
import { endsWith, writesAndWaits } from '../../table/handlers.js';
import { clocked, everyKind, keptFailure, leaves, nothing, once, type Row } from '../../table/row.js';
import type { Sent } from '../../table/row-run.js';
import { begins, call, ends, isHeld, letsGo, passes, replays } from '../../table/steps.js';

const { firstSentInvalid, inProgress, keyExpired } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

const says = (...values: string[]): Sent => ({ metadata: () => ({ 'idempotency-first-sent': values }) });
/** First sent so long ago; in the future where that is negative. */
const ago = (ms: number): Sent => ({
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - ms).toISOString() }),
});
const executed = { leaves: once, counts: { executed: 1 } };
const refused = { leaves: nothing, counts: { expired: 1 } };

/** Section 2, `idempotency-first-sent`. */
export const firstSentRows: readonly Row[] = [
  { line: 'first sent just now', methods: everyKind, steps: [call(ago(0))], ...executed },
  {
    line: 'first sent within the TTL, the same on every attempt',
    steps: [call(ago(23 * 60 * minute)), replays(ago(23 * 60 * minute + 1))],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'older than the TTL and no record: refused, never executed',
    methods: everyKind,
    steps: [call(ago(day + minute), keyExpired)],
    ...refused,
  },
  {
    line: 'older than the TTL and a live record: answered',
    methods: everyKind,
    steps: [call(), replays(ago(day + minute))],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'older than the TTL and a failure that is kept: answered',
    handler: endsWith(status.NOT_FOUND),
    steps: [call({}, keeps(status.NOT_FOUND)), replays(ago(day + minute))],
    leaves: keptFailure,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'older than the TTL and an execution under way at another server: in progress',
    methods: ['Transfer', 'Sweep'],
    handler: writesAndWaits,
    setup: { policy: { waitMs: 0 }, methods: ['Transfer', 'Sweep'], second: {} },
    steps: [
      ...[begins(), isHeld(), call({ second: true, ...ago(day + minute) }, inProgress)],
      ...[letsGo(), ends()],
    ],
    leaves: once,
    counts: { executed: 1, in_progress: 1 },
  },
  { line: 'a millisecond younger than the TTL', places: clocked, steps: [call(ago(day - 1))], ...executed },
  { line: 'as old as the TTL', places: clocked, steps: [call(ago(day), keyExpired)], ...refused },
  { line: '4 minutes in the future', steps: [call(ago(-4 * minute))], ...executed },
  {
    line: '6 minutes in the future: refused',
    methods: everyKind,
    steps: [call(ago(-6 * minute), keyExpired)],
    ...refused,
  },
  { line: '5 minutes in the future', places: clocked, steps: [call(ago(-5 * minute))], ...executed },
  {
    line: 'a millisecond more than 5 minutes in the future: refused',
    places: clocked,
    steps: [call(ago(-5 * minute - 1), keyExpired)],
    ...refused,
  },
  {
    line: '6 minutes in the future: refused also where there is a live record',
    steps: [call(), call(ago(-6 * minute), keyExpired)],
    leaves: once,
    counts: { executed: 1, expired: 1 },
  },
  {
    line: 'an expired key that returns without it is a new operation',
    methods: everyKind,
    steps: [call(ago(0)), passes(day), call({ request: { amountMinor: 2 } })],
    leaves: leaves('completed', 2, 2),
    counts: { executed: 2 },
  },
  {
    line: 'an expired key that returns with it is refused, never executed again',
    methods: everyKind,
    steps: [call(ago(0)), passes(day), call(ago(day), keyExpired)],
    leaves: leaves('nothing', 1, 1),
    counts: { executed: 1, expired: 1 },
  },
  ...Object.entries({
    'no time': ['yesterday', '1700000000', ''],
    'no whole time': ['2026-01-31', '2026-01-31T08:30:00', '2026-01-31 08:30:00Z', '2026-01-31T08:30Z'],
    'a time that there is not': ['2026-13-01T00:00:00Z', '2026-02-30T00:00:00Z', '2026-01-31T24:00:00Z'],
    'an offset that there is not': ['2026-01-31T08:30:00+24:00', '2026-01-31T08:30:00+01:60'],
  }).map(
    ([what, values]): Row => ({
      line: `malformed: ${what}`,
      steps: values.map((value) => call(says(value), firstSentInvalid)),
      leaves: nothing,
      counts: { key_invalid: values.length },
    }),
  ),
  {
    line: 'sent twice',
    methods: everyKind,
    steps: [
      call(says('2026-01-31T08:30:00Z', '2026-01-31T08:30:00Z'), firstSentInvalid),
      call(says('2026-01-31T08:30:00Z', ''), firstSentInvalid),
    ],
    leaves: nothing,
    counts: { key_invalid: 2 },
  },
  {
    line: 'each form that RFC 3339 allows is read',
    steps: [
      ...['2020-02-29T08:30:00Z', '2020-02-29t08:30:00z', '2020-02-29T08:30:00.1Z'],
      ...['2020-02-29T08:30:00.123456789+05:30', '2020-02-29T23:59:60-08:00'],
    ].map((text) => call(says(text), keyExpired)),
    leaves: nothing,
    counts: { expired: 5 },
  },
];
