import { status } from '@grpc/grpc-js';
import { notStored, ok, refusals, stored, unguarded } from '../../table/expected-result.js';
import { storeDown, storeUp } from '../../table/faults.js';
import { endsWith } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, type Row } from '../../table/row.js';
import { declare, type Setup } from '../../table/setup.js';
import { call, metricIs, replays } from '../../table/steps.js';

const codes: Setup = {
  policy: { replayedCodes: [status.PERMISSION_DENIED, status.ABORTED] },
  declared: declare('replayed_codes: [REPLAYED_CODE_PERMISSION_DENIED, REPLAYED_CODE_ABORTED]'),
};
const oneCode: Setup = {
  policy: { replayedCodes: [status.INTERNAL] },
  declared: declare('replayed_codes: REPLAYED_CODE_INTERNAL'),
};
const noCode: Setup = { policy: { replayedCodes: [] } };
const replayedCodes: Row[] = [
  ...[
    { code: status.PERMISSION_DENIED, setup: codes },
    { code: status.ABORTED, setup: codes },
    { code: status.INTERNAL, setup: oneCode },
  ].map(
    ({ code, setup }): Row => ({
      title: `replayed_codes: a failure with the listed code ${status[code]} is stored and replayed`,
      setup,
      handler: endsWith(code),
      steps: [call({}, stored(code)), replays()],
      final: failureStored,
      counts: { executed: 1, replayed: 1 },
    }),
  ),
  ...[codes, oneCode, noCode].map(
    (setup): Row => ({
      title: `replayed_codes: a failure with NOT_FOUND is not stored if it is not among the ${setup.policy?.replayedCodes?.length} listed codes`,
      setup,
      handler: endsWith(status.NOT_FOUND),
      steps: [call({}, notStored(status.NOT_FOUND)), call({}, notStored(status.NOT_FOUND))],
      final: finalState('no record', 2, 0),
      counts: { released: 2 },
    }),
  ),
];

const MEBIBYTE = 1024 * 1024;
/**
 * Responds with a reply of `limit + more` bytes: the prefix of the message, its field number and length, its text, and the
 * status message `OK`.
 */
const bytesOf = (limit: number, more = 0) =>
  endsWith(status.OK, { ids: ['x'.repeat(limit - 5 - 2 - (limit > 134 ? 4 : 2) + more)] });
const small: Setup = { policy: { maxReplyBytes: 100 }, declared: declare('max_reply_bytes: 100') };
const maxReplyBytes = [
  { limit: MEBIBYTE, setup: {}, title: '1 MiB by default' },
  { limit: 100, setup: small, title: '100 bytes' },
].flatMap(({ limit, setup, title }): Row[] => [
  {
    title: `max_reply_bytes (${title}): a reply of this size is stored and replayed`,
    setup,
    handler: bytesOf(limit),
    steps: [call(), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: `max_reply_bytes (${title}): a reply with one more byte is refused, and the refusal is stored`,
    setup,
    handler: bytesOf(limit, 1),
    steps: [call({}, refusals.replyTooLarge(limit)), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
]);

const execute: Setup = {
  policy: { onStoreFailure: 'EXECUTE' },
  declared: declare('on_store_failure: ON_STORE_FAILURE_EXECUTE'),
};
const refuse: Setup = {
  policy: { onStoreFailure: 'REFUSE' },
  declared: declare('on_store_failure: ON_STORE_FAILURE_REFUSE'),
};
const onStoreFailure: Row[] = [
  {
    title: 'on_store_failure REFUSE: the store is down, and the call is refused',
    setup: refuse,
    steps: [storeDown, call({}, refusals.storeUnavailable), storeUp, call(), replays()],
    final: executedOnce,
    counts: { refused: 1, executed: 1, replayed: 1 },
  },
  {
    title: 'on_store_failure EXECUTE: the store is down, and the call executes unguarded and is counted',
    setup: execute,
    steps: [
      ...[storeDown, call({}, unguarded), call({}, unguarded), metricIs('unguarded_executions_total', {}, 2)],
      ...[call({ key: 'not a key' }, refusals.keyInvalid), storeUp, call({}, ok), replays()],
    ],
    final: finalState('completed', 3, 3),
    counts: { bypassed: 2, key_invalid: 1, executed: 1, replayed: 1 },
  },
];

/** The policy fields `replayed_codes`, `max_reply_bytes` and `on_store_failure`. */
export const storedReplyRows: readonly Row[] = [...replayedCodes, ...maxReplyBytes, ...onStoreFailure];
