import type { MethodPolicy } from 'grpc-replay-guard';
import { refusals, unguarded } from '../../table/expected-result.js';
import { executedOnce, finalState, noRecord, type Row } from '../../table/row.js';
import { declare } from '../../table/setup.js';
import { call, policyIs, replays } from '../../table/steps.js';

/** The default policy, as the contract lists it. */
const defaults: MethodPolicy = {
  ...{ key: 'REQUIRED', rejectOldKeys: false, fingerprintExcludes: [], atomicity: 'TRANSACTION' },
  ...{ retentionMs: 86_400_000, leaseMs: 30_000, maxExecutionMs: 300_000, waitMs: 5_000 },
  ...{ replayedCodes: [5, 6, 9, 11], maxReplyBytes: 1_048_576, onStoreFailure: 'REFUSE' },
};
const another = { request: { amountMinor: 2 } };

/** The policy field `key`, and methods without side effects. */
export const keyRequirementRows: readonly Row[] = [
  {
    title: 'a method without a policy has the default of every field',
    methods: ['Close'],
    steps: [policyIs(defaults), call(), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'REQUIRED by default: a call without a key is refused',
    methods: ['Close'],
    steps: [call({ key: null }, refusals.keyMissing)],
    final: noRecord,
    counts: { key_missing: 1 },
  },
  {
    title: 'OPTIONAL by default for an IDEMPOTENT method: a call without a key executes unguarded',
    methods: ['Touch'],
    steps: [call({ key: null }, unguarded), call(), replays()],
    final: finalState('completed', 2, 2),
    counts: { bypassed: 1, executed: 1, replayed: 1 },
  },
  {
    title: 'OPTIONAL: a call without a key executes unguarded',
    setup: { policy: { key: 'OPTIONAL' }, declared: declare('key: KEY_REQUIREMENT_OPTIONAL') },
    steps: [call({ key: null }, unguarded), call({ key: null }, unguarded), call(), replays()],
    final: finalState('completed', 3, 3),
    counts: { bypassed: 2, executed: 1, replayed: 1 },
  },
  {
    title: 'REQUIRED for an IDEMPOTENT method: a call without a key is refused',
    methods: ['Touch'],
    setup: {
      policy: { key: 'REQUIRED' },
      declared: `option idempotency_level = IDEMPOTENT; ${declare('key: KEY_REQUIREMENT_REQUIRED')}`,
      methods: ['Touch'],
    },
    steps: [call({ key: null }, refusals.keyMissing), call(), replays()],
    final: executedOnce,
    counts: { key_missing: 1, executed: 1, replayed: 1 },
  },
  {
    title: 'a method with NO_SIDE_EFFECTS is never guarded, with any key or none',
    methods: ['Read'],
    steps: [
      ...[call({}, unguarded), call({}, unguarded), call({ key: 'not a key' }, unguarded)],
      ...[call({ key: null, caller: null }, unguarded), call(another, unguarded)],
    ],
    final: finalState('no record', 5, 5),
    counts: {},
  },
];
