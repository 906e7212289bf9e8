import type { Metadata } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import type { CallSettings, Connection, StreamReply } from '../../../helpers/calls/call.js';
import type { LedgerDefinition } from '../../../helpers/servers/ledger.js';
import type { Entries, Expected } from './expected-result.js';
import type { Method } from './row.js';

/** How a call ended for its client, unary or streaming. */
export type Heard = StreamReply;

/** Makes a call as a generated client would, unary methods by the unary kind of call. */
export async function hear(
  connection: Connection,
  definition: LedgerDefinition,
  method: Method,
  request: object,
  settings: CallSettings,
): Promise<Heard> {
  const called = definition[method];
  const bytes = (called.requestSerialize as (value: object) => Buffer)(request);
  if (called.responseStream) return connection.stream(called.path, bytes, settings);
  const reply = await connection.callBytes(
    { path: called.path, requestSerialize: () => bytes, responseDeserialize: () => ({}) },
    bytes,
    settings,
  );
  return { ...reply, messages: reply.bytes ? [reply.bytes] : [] };
}

/** Entries that the transport adds to what comes in one block of headers. */
const ofTransport = new Set(['content-type', 'date']);

/** All that was sent as metadata, by name. */
export function entriesOf(metadata: Metadata | undefined): Entries {
  const names = Object.keys(metadata?.getMap() ?? {}).filter((name) => !ofTransport.has(name));
  return Object.fromEntries(names.sort().map((name) => [name, metadata?.get(name) ?? []]));
}

/** Asserts that a client got what the contract says, and nothing else. @param expiry what the store says */
export function assertHeard(t: ExecutionContext, heard: Heard, expected: Expected, expiry?: string): void {
  const { code, refusal, initial = {}, trailing = {}, messages = code === 0 ? 1 : 0 } = expected;
  t.is(heard.code, code, heard.details);
  if (expected.details !== undefined) t.is(heard.details, expected.details);
  t.is(heard.messages.length, typeof messages === 'number' ? messages : messages.length);
  if (typeof messages !== 'number') t.deepEqual(heard.messages, messages.map(withId));
  // A reply without headers of its own is Trailers-Only: the one kind that gRPC clients retry.
  const sendsHeaders = heard.messages.length > 0 || Object.keys(initial).length > 0;
  t.is(heard.initial !== undefined, sendsHeaders, 'Trailers-Only');
  t.deepEqual(entriesOf(heard.initial), initial);
  const {
    'grpc-status-details-bin': details,
    'grpc-retry-pushback-ms': pushback,
    ...others
  } = entriesOf(heard.trailers);
  const { 'grpc-status-details-bin': ownDetails, ...own } = trailing;
  t.deepEqual(others, {
    ...own,
    ...(expected.kept && { 'idempotency-expires-at': [expiry] }),
    ...(expected.replayed && { 'idempotent-replayed': ['true'] }),
  } as Entries);
  if (refusal) assertRefused(t, heard, expected, refusal);
  else t.deepEqual([details, pushback], [ownDetails, undefined]);
}

function assertRefused(
  t: ExecutionContext,
  heard: Heard,
  { code }: Expected,
  refusal: NonNullable<Expected['refusal']>,
) {
  const { reason, metadata = {}, field, retryMs } = refusal;
  const said = heard.statusDetails;
  t.deepEqual([said?.code, said?.message], [code, heard.details]);
  t.true(heard.details.length > 20, 'says in words what is wrong');
  t.deepEqual(said?.errorInfo, { reason, domain: 'grpc-replay-guard', metadata });
  const adds = [...(field === undefined ? [] : ['BadRequest']), ...(retryMs ? ['RetryInfo'] : [])];
  t.deepEqual(said?.types, ['ErrorInfo', ...adds]);
  t.deepEqual(
    said?.badRequest?.fieldViolations.map((violation) => violation.field),
    field === undefined ? undefined : [field],
  );
  for (const { description } of said?.badRequest?.fieldViolations ?? [])
    t.true(heard.details.endsWith(description));
  const pushback = heard.trailers.get('grpc-retry-pushback-ms');
  t.deepEqual(pushback, retryMs ? [String(said?.retryInfo?.retryDelayMs)] : []);
  if (!retryMs) return;
  t.regex(String(pushback[0]), /^\d+$/);
  t.true(Number(pushback[0]) >= retryMs[0] && Number(pushback[0]) <= retryMs[1], String(pushback[0]));
}

/** A message of the ledger whose first field is an id, as protobuf writes it. */
function withId(id: string): Buffer {
  const text = Buffer.from(id);
  return text.length === 0 ? text : Buffer.concat([Buffer.of(0x0a), varint(text.length), text]);
}

function varint(value: number): Buffer {
  return value < 128 ? Buffer.of(value) : Buffer.of((value & 127) | 128, ...varint(value >> 7));
}
