import { ScopeUnavailableError } from 'grpc-replay-guard';
import { refusals } from '../../table/expected-result.js';
import { writesAndWaits } from '../../table/handlers.js';
import { everyKind, keptFailure, nothing, once, type Row } from '../../table/row.js';
import { begins, call, ends, endsReplayed, isHeld, letsGo, replays } from '../../table/steps.js';

const another = { request: { amountMinor: 2 } };

const tooLarge: Row = {
  line: 'the reply is larger than the limit: the writes roll back, and that is kept',
  methods: everyKind,
  setup: { policy: { maxReplyBytes: 10 }, methods: everyKind },
  steps: [call({}, refusals.replyTooLarge(10)), replays(), call(another, refusals.keyReused)],
  leaves: keptFailure,
  counts: { executed: 1, replayed: 1, reused: 1 },
};

/** Section 2, replies that are too large, and callers who are nobody or ask for too much. */
export const limitRows: readonly Row[] = [
  tooLarge,
  {
    line: 'a caller without an identity',
    methods: everyKind,
    steps: [call({ caller: null }, refusals.scopeMissing)],
    leaves: nothing,
    counts: { refused: 1 },
  },
  {
    line: 'a caller whose identity cannot be verified for now',
    methods: everyKind,
    setup: {
      guard: {
        scope: () => {
          throw new ScopeUnavailableError('secret');
        },
      },
    },
    steps: [call({}, refusals.scopeUnavailable)],
    leaves: nothing,
    counts: { refused: 1 },
  },
  {
    line: 'too many in flight for the scope: what runs goes on, and its duplicates wait',
    methods: everyKind,
    handler: writesAndWaits,
    setup: { guard: { quotas: { inFlightPerScope: 1 } } },
    steps: [
      ...[begins(), isHeld(), call({ key: 'other' }, refusals.quotaExceeded('in_flight', 1)), begins()],
      ...[letsGo(), ends(), endsReplayed],
    ],
    leaves: once,
    counts: { executed: 1, refused: 1, joined: 1 },
  },
  {
    line: 'too many live keys for the scope: those that are known are answered, and other scopes',
    methods: everyKind,
    setup: { guard: { quotas: { liveKeysPerScope: 2 } } },
    steps: [
      ...[call({ key: 'one' }), call({ key: 'two' })],
      ...[call({ key: 'three' }, refusals.quotaExceeded('live_keys', 2)), replays({ key: 'one' })],
      ...[call({ key: 'three', caller: 'another' })],
    ],
    leaves: { records: ['completed', 'completed', 'completed'], executions: 3, effects: 3 },
    counts: { executed: 3, refused: 1, replayed: 1 },
  },
];
