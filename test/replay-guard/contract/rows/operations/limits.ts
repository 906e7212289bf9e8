import { ScopeUnavailableError } from 'grpc-replay-guard';
import { refusals } from '../../table/expected-result.js';
import { writesAndWaits } from '../../table/handlers.js';
import { executedOnce, failureStored, noRecord, type Row } from '../../table/row.js';
import { everyKind } from '../../table/setup.js';
import { call, ends, endsReplayed, held, metricIs, release, replays, start } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };

const tooLarge: Row = {
  title: 'the reply is larger than the limit: the writes roll back, and the refusal is stored',
  methods: everyKind,
  setup: { policy: { maxReplyBytes: 10 }, methods: everyKind },
  steps: [call({}, refusals.replyTooLarge(10)), replays(), call(another, refusals.keyReused)],
  final: failureStored,
  counts: { executed: 1, replayed: 1, reused: 1 },
};

/** The refusals for large replies, missing identities and exceeded quotas. */
export const limitRows: readonly Row[] = [
  tooLarge,
  {
    title: 'a caller without an identity is refused as unauthenticated',
    methods: everyKind,
    steps: [call({ caller: null }, refusals.scopeMissing)],
    final: noRecord,
    counts: { refused: 1 },
  },
  {
    title: 'an identity that cannot be verified now: the call is refused as unavailable',
    methods: everyKind,
    setup: {
      guard: {
        scope: () => {
          throw new ScopeUnavailableError('secret');
        },
      },
    },
    steps: [call({}, refusals.scopeUnavailable)],
    final: noRecord,
    counts: { refused: 1 },
  },
  {
    title:
      'the in-flight quota is reached: another key is refused, and a duplicate of the running call joins',
    methods: everyKind,
    handler: writesAndWaits,
    setup: { guard: { quotas: { inFlightPerScope: 1 } } },
    steps: [
      ...[start(), held(), call({ key: 'other' }, refusals.quotaExceeded('in_flight', 1)), start()],
      ...[release(), ends(), endsReplayed],
      metricIs('quota_refusals_total', { quota: 'in_flight' }, 1),
    ],
    final: executedOnce,
    counts: { executed: 1, refused: 1, joined: 1 },
  },
  {
    title:
      'the live-key quota is reached: a new key is refused, while known keys replay and other scopes execute',
    methods: everyKind,
    setup: { guard: { quotas: { liveKeysPerScope: 2 } } },
    steps: [
      ...[call({ key: 'one' }), call({ key: 'two' })],
      ...[call({ key: 'three' }, refusals.quotaExceeded('live_keys', 2)), replays({ key: 'one' })],
      ...[call({ key: 'three', caller: 'another' })],
    ],
    final: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, refused: 1, replayed: 1 },
  },
];
