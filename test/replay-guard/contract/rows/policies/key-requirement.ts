import type { MethodPolicy } from 'grpc-replay-guard';
import { refusals, unguarded } from '../../table/expected-result.js';
import { declare, leaves, nothing, once, type Row } from '../../table/row.js';
import { call, isSetTo, replays } from '../../table/steps.js';

/** As the contract's table has them. */
const defaults: MethodPolicy = {
  ...{ key: 'REQUIRED', rejectOldKeys: false, fingerprintExcludes: [], atomicity: 'TRANSACTION' },
  ...{ retentionMs: 86_400_000, leaseMs: 30_000, maxExecutionMs: 300_000, waitMs: 5_000 },
  ...{ replayedCodes: [5, 6, 9, 11], maxReplyBytes: 1_048_576, onStoreFailure: 'REFUSE' },
};
const another = { request: { amountMinor: 2 } };

/** Section 4, `key`, and methods without side effects. */
export const keyRequirementRows: readonly Row[] = [
  {
    line: 'the defaults of every field',
    methods: ['Close'],
    steps: [isSetTo(defaults), call(), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'key: by default REQUIRED',
    methods: ['Close'],
    steps: [call({ key: null }, refusals.keyMissing)],
    leaves: nothing,
    counts: { key_missing: 1 },
  },
  {
    line: 'key: by default OPTIONAL for an IDEMPOTENT method',
    methods: ['Touch'],
    steps: [call({ key: null }, unguarded), call(), replays()],
    leaves: leaves('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'key: OPTIONAL',
    setup: { policy: { key: 'OPTIONAL' }, declared: declare('key: KEY_REQUIREMENT_OPTIONAL') },
    steps: [call({ key: null }, unguarded), call({ key: null }, unguarded), call(), replays()],
    leaves: leaves('completed', 3, 3),
    counts: { bypassed: 2, executed: 1, replayed: 1 },
  },
  {
    line: 'key: REQUIRED for an IDEMPOTENT method',
    methods: ['Touch'],
    setup: {
      policy: { key: 'REQUIRED' },
      declared: `option idempotency_level = IDEMPOTENT; ${declare('key: KEY_REQUIREMENT_REQUIRED')}`,
      methods: ['Touch'],
    },
    steps: [call({ key: null }, refusals.keyMissing), call(), replays()],
    leaves: once,
    counts: { key_missing: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'NO_SIDE_EFFECTS: never touched, whatever it carries',
    methods: ['Read'],
    steps: [
      ...[call({}, unguarded), call({}, unguarded), call({ key: 'not a key' }, unguarded)],
      ...[call({ key: null, caller: null }, unguarded), call(another, unguarded)],
    ],
    leaves: leaves('nothing', 5, 5),
    counts: {},
  },
];
