import { status } from '@grpc/grpc-js';
import { keeps, ok, refusals, releases, unguarded } from '../../table/expected-result.js';
import { storeComes, storeGoes } from '../../table/faults.js';
import { endsWith } from '../../table/handlers.js';
import { declare, keptFailure, leaves, once, type Row, type Setup } from '../../table/row.js';
import { call, replays, shows } from '../../table/steps.js';

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
      line: `replayed_codes: ${status[code]} is among them`,
      setup,
      handler: endsWith(code),
      steps: [call({}, keeps(code)), replays()],
      leaves: keptFailure,
      counts: { executed: 1, replayed: 1 },
    }),
  ),
  ...[codes, oneCode, noCode].map(
    (setup): Row => ({
      line: `replayed_codes: NOT_FOUND is not among ${setup.policy?.replayedCodes?.length}`,
      setup,
      handler: endsWith(status.NOT_FOUND),
      steps: [call({}, releases(status.NOT_FOUND)), call({}, releases(status.NOT_FOUND))],
      leaves: leaves('nothing', 2, 0),
      counts: { released: 2 },
    }),
  ),
];

const MEBIBYTE = 1024 * 1024;
/** Field number and length stand before the text. */
const bytesOf = (limit: number, more = 0) =>
  endsWith(status.OK, { ids: ['x'.repeat(limit - (limit > 127 ? 4 : 2) + more)] });
const small: Setup = { policy: { maxReplyBytes: 100 }, declared: declare('max_reply_bytes: 100') };
const maxReplyBytes = [
  { limit: MEBIBYTE, setup: {}, line: 'by default 1 MiB' },
  { limit: 100, setup: small, line: '100' },
].flatMap(({ limit, setup, line }): Row[] => [
  {
    line: `max_reply_bytes: ${line} are kept`,
    setup,
    handler: bytesOf(limit),
    steps: [call(), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: `max_reply_bytes: ${line} and one more are not`,
    setup,
    handler: bytesOf(limit, 1),
    steps: [call({}, refusals.replyTooLarge(limit)), replays()],
    leaves: keptFailure,
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
    line: 'on_store_failure: REFUSE',
    setup: refuse,
    steps: [storeGoes, call({}, refusals.storeUnavailable), storeComes, call(), replays()],
    leaves: once,
    counts: { refused: 1, executed: 1, replayed: 1 },
  },
  {
    line: 'on_store_failure: EXECUTE, unguarded, and counted',
    setup: execute,
    steps: [
      ...[storeGoes, call({}, unguarded), call({}, unguarded), shows('unguarded_executions_total', {}, 2)],
      ...[call({ key: 'not a key' }, refusals.keyInvalid), storeComes, call({}, ok), replays()],
    ],
    leaves: leaves('completed', 3, 3),
    counts: { bypassed: 2, key_invalid: 1, executed: 1, replayed: 1 },
  },
];

/** Section 4, `replayed_codes`, `max_reply_bytes` and `on_store_failure`. */
export const keepingRows: readonly Row[] = [...replayedCodes, ...maxReplyBytes, ...onStoreFailure];
