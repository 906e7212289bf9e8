import { Metadata, type MetadataValue, status } from '@grpc/grpc-js';
import { statusDetails } from 'grpc-replay-guard/protocol';
import { type Entries, notStored, ok, stored, unguarded } from '../../table/expected-result.js';
import { endsWith } from '../../table/handlers.js';
import { executedOnce, failureStored, finalState, type Row } from '../../table/row.js';
import { everyKind } from '../../table/setup.js';
import { call, replays, statesBecome } from '../../table/steps.js';

const details = statusDetails(status.FAILED_PRECONDITION, 'ended with FAILED_PRECONDITION', [
  { errorInfo: { reason: 'INSUFFICIENT_STOCK', domain: 'shop', metadata: { sku: 'tea' } } },
  { badRequest: { fieldViolations: [{ field: 'lines', description: 'too many' }] } },
  { retryInfo: { retryDelayMs: 1_500 } },
]);
/** A refusal of another guarded server, as a handler receives it with a failed call. */
const refusalOfAnother = {
  errorInfo: { reason: 'IDEMPOTENCY_KEY_REUSED', domain: 'grpc-replay-guard', metadata: { expected: '7' } },
} as const;
const ofShop = { errorInfo: { reason: 'INSUFFICIENT_STOCK', domain: 'shop', metadata: { sku: 'tea' } } };
const detailsWith = (...given: Parameters<typeof statusDetails>[2]) =>
  statusDetails(status.UNAVAILABLE, 'the other server refused', given);
const [one, other] = [Buffer.from([0, 255, 10]), Buffer.from('other')];
const sent: Record<string, MetadataValue[]> = {
  'x-text': ['a b', 'c'],
  'x-bytes-bin': [one, other],
  'grpc-status-details-bin': [details],
};
const initial = toMetadata({ 'x-text': ['before'], 'x-bytes-bin': [one] });
const trailing = toMetadata(sent);
/** The metadata as the client receives it. HTTP/2 joins the text values of one name. */
const received: { initial: Entries; trailing: Entries } = {
  initial: { 'x-text': ['before'], 'x-bytes-bin': [one] },
  trailing: { ...sent, 'x-text': ['a b, c'] },
};

/** Entries that belong to one call or to the transport. A replay must not contain them. */
const callEntries = {
  authorization: ['Bearer t'],
  'set-cookie': ['a=b'],
  cookie: ['c=d'],
  'grpc-other': ['x'],
};
const guardEntries = {
  'grpc-status-details-bin': [detailsWith(refusalOfAnother), detailsWith(refusalOfAnother, refusalOfAnother)],
  'idempotent-replayed': ['true'],
  'idempotency-expires-at': ['never'],
  'idempotency-key': ['k'],
};
const storedEntries = { 'x-kept': ['kept'] };
const passed = {
  initial: { ...storedEntries, ...callEntries },
  trailing: { ...storedEntries, ...callEntries },
};
const withCredentials = toMetadata({ ...storedEntries, ...callEntries, ...guardEntries });

function toMetadata(entries: Record<string, MetadataValue[]>): Metadata {
  const metadata = new Metadata();
  for (const [name, values] of Object.entries(entries)) for (const value of values) metadata.add(name, value);
  return metadata;
}

const withForeign = toMetadata({
  'x-kept': ['kept'],
  'idempotency-expires-at': ['2100-01-01T00:00:00.000Z'],
  'grpc-status-details-bin': [detailsWith(refusalOfAnother, ofShop, { retryInfo: { retryDelayMs: 5 } })],
});
const withoutForeign = {
  'x-kept': ['kept'],
  'grpc-status-details-bin': [detailsWith(ofShop, { retryInfo: { retryDelayMs: 5 } })],
};

/** The metadata and details of stored and other replies. */
export const metadataRows: readonly Row[] = [
  {
    title: 'a replay has the metadata of the first reply, text and binary',
    methods: everyKind,
    handler: endsWith(status.OK, { initial, trailing }),
    steps: [call({}, { ...ok, ...received }), replays()],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a replayed failure has the details and metadata of the first reply',
    methods: everyKind,
    handler: endsWith(status.FAILED_PRECONDITION, { initial, trailing }),
    steps: [call({}, { ...stored(status.FAILED_PRECONDITION), ...received }), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a stored failure without initial metadata is Trailers-Only, in the first reply and in the replay',
    methods: everyKind,
    handler: endsWith(status.FAILED_PRECONDITION, { trailing }),
    steps: [call({}, { ...stored(status.FAILED_PRECONDITION), trailing: received.trailing }), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title: 'a failure that is not stored reaches its client with details and metadata',
    methods: everyKind,
    handler: endsWith(status.ABORTED, { initial, trailing }),
    steps: [call({}, { ...notStored(status.ABORTED), ...received })],
    final: finalState('no record', 1, 0),
    counts: { released: 1 },
  },
  {
    title:
      'credentials and transport entries are not stored, and entries with names of the guard are removed',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['id'], initial: withCredentials, trailing: withCredentials }),
    steps: [
      call({}, { ...ok, messages: ['id'], ...passed }),
      call({}, { ...ok, messages: ['id'], initial: storedEntries, trailing: storedEntries, replayed: true }),
    ],
    final: executedOnce,
    counts: { executed: 1, replayed: 1 },
  },
  {
    title:
      'a stored failure with the refusal of another server: the refusal is removed, and the replay is equal',
    methods: everyKind,
    handler: endsWith(status.FAILED_PRECONDITION, { trailing: withForeign }),
    steps: [call({}, { ...stored(status.FAILED_PRECONDITION), trailing: withoutForeign }), replays()],
    final: failureStored,
    counts: { executed: 1, replayed: 1 },
  },
  ...[status.UNAVAILABLE, status.RESOURCE_EXHAUSTED, status.DATA_LOSS].map(
    (code): Row => ({
      title: `${status[code]} with the refusal of another server: the refusal is removed`,
      methods: everyKind,
      handler: endsWith(code, { initial: withForeign, trailing: withForeign }),
      steps: [call({}, { ...notStored(code), initial: withoutForeign, trailing: withoutForeign })],
      final: finalState('no record', 1, 0),
      counts: { released: 1 },
    }),
  ),
  {
    title: 'in mode OFF, entries with names of the guard and refusals of another server are removed',
    methods: everyKind,
    handler: endsWith(status.UNAVAILABLE, { ids: [], initial: withCredentials, trailing: withForeign }),
    setup: { policy: { mode: 'OFF' }, methods: everyKind },
    steps: [
      call({}, { ...notStored(status.UNAVAILABLE), initial: passed.initial, trailing: withoutForeign }),
    ],
    final: finalState('no record', 1, 1),
    counts: {},
  },
  {
    title: 'in mode OBSERVE and in unguarded calls, entries with names of the guard are removed',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['id'], initial: withCredentials, trailing: withCredentials }),
    setup: { policy: { mode: 'OBSERVE', key: 'OPTIONAL' }, methods: everyKind },
    steps: [
      call({}, { ...unguarded, ...passed }),
      statesBecome('completed'),
      call({ key: null }, { ...unguarded, ...passed }),
    ],
    final: { records: ['completed'], executions: 2, effects: 2 },
    counts: { bypassed: 2 },
  },
];
