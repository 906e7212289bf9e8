import { Metadata, type MetadataValue, status } from '@grpc/grpc-js';
import { statusDetails } from 'grpc-replay-guard/protocol';
import { type Entries, keeps, ok, releases, unguarded } from '../../table/expected-result.js';
import { endsWith } from '../../table/handlers.js';
import { everyKind, keptFailure, leaves, once, type Row } from '../../table/row.js';
import { call, replays, settles } from '../../table/steps.js';

const details = statusDetails(status.FAILED_PRECONDITION, 'ended with FAILED_PRECONDITION', [
  { errorInfo: { reason: 'INSUFFICIENT_STOCK', domain: 'shop', metadata: { sku: 'tea' } } },
  { badRequest: { fieldViolations: [{ field: 'lines', description: 'too many' }] } },
  { retryInfo: { retryDelayMs: 1_500 } },
]);
const [one, other] = [Buffer.from([0, 255, 10]), Buffer.from('other')];
const sent: Record<string, MetadataValue[]> = {
  'x-text': ['a b', 'c'],
  'x-bytes-bin': [one, other],
  'grpc-status-details-bin': [details],
};
const initial = toMetadata({ 'x-text': ['before'], 'x-bytes-bin': [one] });
const trailing = toMetadata(sent);
/** HTTP/2 joins the texts of one name. */
const heard: { initial: Entries; trailing: Entries } = {
  initial: { 'x-text': ['before'], 'x-bytes-bin': [one] },
  trailing: { ...sent, 'x-text': ['a b, c'] },
};

/** What belongs to one call, to gRPC or to the guard is not for the next one. */
const ofTheCall = {
  authorization: ['Bearer t'],
  'set-cookie': ['a=b'],
  cookie: ['c=d'],
  'grpc-other': ['x'],
};
const ofTheGuard = {
  'idempotent-replayed': ['true'],
  'idempotency-expires-at': ['never'],
  'idempotency-key': ['k'],
};
const kept = { 'x-kept': ['kept'] };
const theirs = { initial: { ...kept, ...ofTheCall }, trailing: { ...kept, ...ofTheCall } };
const withCredentials = toMetadata({ ...kept, ...ofTheCall, ...ofTheGuard });

function toMetadata(entries: Record<string, MetadataValue[]>): Metadata {
  const metadata = new Metadata();
  for (const [name, values] of Object.entries(entries)) for (const value of values) metadata.add(name, value);
  return metadata;
}

/** Section 3, with details and trailers. */
export const metadataRows: readonly Row[] = [
  {
    line: 'a reply comes back with its metadata, texts and bytes',
    methods: everyKind,
    handler: endsWith(status.OK, { initial, trailing }),
    steps: [call({}, { ...ok, ...heard }), replays()],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'a failure that is kept comes back with its details and metadata',
    methods: everyKind,
    handler: endsWith(status.FAILED_PRECONDITION, { initial, trailing }),
    steps: [call({}, { ...keeps(status.FAILED_PRECONDITION), ...heard }), replays()],
    leaves: keptFailure,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'a failure that is kept and has no initial metadata is Trailers-Only, first and replayed',
    methods: everyKind,
    handler: endsWith(status.FAILED_PRECONDITION, { trailing }),
    steps: [call({}, { ...keeps(status.FAILED_PRECONDITION), trailing: heard.trailing }), replays()],
    leaves: keptFailure,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'a failure that is not kept reaches its caller with its details and metadata',
    methods: everyKind,
    handler: endsWith(status.ABORTED, { initial, trailing }),
    steps: [call({}, { ...releases(status.ABORTED), ...heard })],
    leaves: leaves('nothing', 1, 0),
    counts: { released: 1 },
  },
  {
    line: 'credentials and what is the transport’s own are not kept, and the guard’s names are the guard’s',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['id'], initial: withCredentials, trailing: withCredentials }),
    steps: [
      call({}, { ...ok, messages: ['id'], ...theirs }),
      call({}, { ...ok, messages: ['id'], initial: kept, trailing: kept, replayed: true }),
    ],
    leaves: once,
    counts: { executed: 1, replayed: 1 },
  },
  {
    line: 'nor are they anybody else’s where the guard only records, or leaves the call alone',
    methods: everyKind,
    handler: endsWith(status.OK, { ids: ['id'], initial: withCredentials, trailing: withCredentials }),
    setup: { policy: { mode: 'OBSERVE', key: 'OPTIONAL' }, methods: everyKind },
    steps: [
      call({}, { ...unguarded, ...theirs }),
      settles('completed'),
      call({ key: null }, { ...unguarded, ...theirs }),
    ],
    leaves: { records: ['completed'], executions: 2, effects: 2 },
    counts: { bypassed: 2 },
  },
];
