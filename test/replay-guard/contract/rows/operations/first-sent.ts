import { status } from '@grpc/grpc-js';
import type { CallInput } from '../../table/call-input.js';
import { refusals, stored } from '../../table/expected-result.js';
import { endsWith, writesAndWaits } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, noRecord, type Row } from '../../table/row.js';
import { clockedStores, everyKind } from '../../table/setup.js';
import { advance, call, ends, endsReplayed, held, release, replays, start } from '../../table/steps.js';

const { firstSentInvalid, inProgress, keyExpired } = refusals;
const minute = 60_000;
const day = 24 * 60 * minute;

const firstSent = (...values: string[]): CallInput => ({
  metadata: () => ({ 'idempotency-first-sent': values }),
});
/** A call that was first sent `ms` milliseconds ago. A negative value lies in the future. */
const ago = (ms: number): CallInput => ({
  metadata: (now) => ({ 'idempotency-first-sent': new Date(now - ms).toISOString() }),
});
const executed = { final: executedOnce, counts: { executed: 1 } };
const refused = { final: noRecord, counts: { expired: 1 } };

/** The contract of the `idempotency-first-sent` metadata. */
export const firstSentRows: readonly Row[] = [
  { title: 'a call first sent now executes', methods: everyKind, steps: [call(ago(0))], ...executed },
  {
    title: 'a call first sent within the TTL executes, and its retry replays',
    steps: [call(ago(23 * 60 * minute)), replays(ago(23 * 60 * minute + 1))],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a time older than the TTL, without a record: the call is refused and never executes',
    methods: everyKind,
    steps: [call(ago(day + minute), keyExpired)],
    ...refused,
  },
  {
    title: 'a time older than the TTL, with a live record: the call replays',
    methods: everyKind,
    steps: [call(), replays(ago(day + minute))],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a time older than the TTL, with a stored failure: the call replays the failure',
    handler: endsWith(status.NOT_FOUND),
    steps: [call({}, stored(status.NOT_FOUND)), replays(ago(day + minute))],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a time older than the TTL, while another server executes: the call is refused as in progress',
    methods: ['Transfer', 'Sweep'],
    handler: writesAndWaits,
    setup: { policy: { waitMs: 0 }, methods: ['Transfer', 'Sweep'], second: {} },
    steps: [
      ...[start(), held(), call({ second: true, ...ago(day + minute) }, inProgress)],
      ...[release(), ends()],
    ],
    final: executedOnce,
    counts: { executed: 1, in_progress: 1 },
  },
  {
    title: 'a time a millisecond younger than the TTL: the call executes',
    stores: clockedStores,
    steps: [call(ago(day - 1))],
    ...executed,
  },
  {
    title: 'a time exactly as old as the TTL: the call is refused as expired',
    stores: clockedStores,
    steps: [call(ago(day), keyExpired)],
    ...refused,
  },
  {
    title: 'a time 4 minutes in the future: the call executes',
    steps: [call(ago(-4 * minute))],
    ...executed,
  },
  {
    title: 'a time 6 minutes in the future: the call is refused',
    methods: everyKind,
    steps: [call(ago(-6 * minute), keyExpired)],
    ...refused,
  },
  {
    title: 'a time 5 minutes in the future: the call executes',
    stores: clockedStores,
    steps: [call(ago(-5 * minute))],
    ...executed,
  },
  {
    title: 'a time a millisecond more than 5 minutes in the future: the call is refused',
    stores: clockedStores,
    steps: [call(ago(-5 * minute - 1), keyExpired)],
    ...refused,
  },
  {
    title: 'a time 6 minutes in the future, with a live record: the call replays',
    steps: [call(), replays(ago(-6 * minute))],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a time 6 minutes in the future, while the first call executes: the call joins it',
    handler: writesAndWaits,
    steps: [start(), held(), start(ago(-6 * minute)), release(), ends(), endsReplayed],
    final: executedOnce,
    counts: { executed: 1, joined: 1 },
  },
  {
    title: 'an expired key without a first-sent time is a new operation and executes',
    methods: everyKind,
    steps: [call(ago(0)), advance(day), call({ request: { amountMinor: 2 } })],
    final: finalState('completed', 2, 2),
    counts: { executed: 2 },
  },
  {
    title: 'an expired key with its first-sent time is refused and never executes again',
    methods: everyKind,
    steps: [call(ago(0)), advance(day), call(ago(day), keyExpired)],
    final: finalState('no record', 1, 1),
    counts: { executed: 1, expired: 1 },
  },
  ...Object.entries({
    'text without a time': ['yesterday', '1700000000', ''],
    'an incomplete time': ['2026-01-31', '2026-01-31T08:30:00', '2026-01-31 08:30:00Z', '2026-01-31T08:30Z'],
    'a date or time that does not exist': [
      '2026-13-01T00:00:00Z',
      '2026-02-30T00:00:00Z',
      '2026-01-31T24:00:00Z',
    ],
    'an offset that does not exist': ['2026-01-31T08:30:00+24:00', '2026-01-31T08:30:00+01:60'],
  }).map(
    ([what, values]): Row => ({
      title: `${what} is refused as malformed`,
      steps: values.map((value) => call(firstSent(value), firstSentInvalid)),
      final: noRecord,
      counts: { key_invalid: values.length },
    }),
  ),
  {
    title: 'two first-sent times in one call are refused as malformed',
    methods: everyKind,
    steps: [
      call(firstSent('2026-01-31T08:30:00Z', '2026-01-31T08:30:00Z'), firstSentInvalid),
      call(firstSent('2026-01-31T08:30:00Z', ''), firstSentInvalid),
    ],
    final: noRecord,
    counts: { key_invalid: 2 },
  },
  {
    title: 'each form that RFC 3339 allows is parsed',
    steps: [
      ...['2020-02-29T08:30:00Z', '2020-02-29t08:30:00z', '2020-02-29T08:30:00.1Z'],
      ...['2020-02-29T08:30:00.123456789+05:30', '2020-02-29T23:59:60-08:00'],
    ].map((text) => call(firstSent(text), keyExpired)),
    final: noRecord,
    counts: { expired: 5 },
  },
];
