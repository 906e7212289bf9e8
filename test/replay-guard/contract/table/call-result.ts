import type { Metadata } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import type { CallSettings, Connection, StreamReply } from '../../../helpers/calls/call.js';
import type { LedgerDefinition } from '../../../helpers/servers/ledger.js';
import type { Entries, Expected } from './expected-result.js';
import type { Method } from './setup.js';

/** The result of a call for its client, unary or streaming. */
export type CallResult = StreamReply;

/** Makes a unary or a streaming call, as the method requires. */
export async function makeCall(
  connection: Connection,
  definition: LedgerDefinition,
  method: Method,
  request: object,
  settings: CallSettings,
): Promise<CallResult> {
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

/** Entries that the transport adds to a block of headers. */
const ofTransport = new Set(['content-type', 'date']);

/** Returns the metadata of the application by name, without the entries of the transport. */
export function metadataEntries(metadata: Metadata | undefined): Entries {
  const names = Object.keys(metadata?.getMap() ?? {}).filter((name) => !ofTransport.has(name));
  return Object.fromEntries(names.sort().map((name) => [name, metadata?.get(name) ?? []]));
}

/**
 * Asserts that the result is the expected one and that no other trailer is present.
 * @param expiry the expiry in the store, if the reply is stored
 */
export function assertResult(
  t: ExecutionContext,
  result: CallResult,
  expected: Expected,
  expiry?: string,
): void {
  const { code, refusal, initial = {}, trailing = {}, messages = code === 0 ? 1 : 0 } = expected;
  t.is(result.code, code, result.details);
  if (expected.details !== undefined) t.is(result.details, expected.details);
  t.is(result.messages.length, typeof messages === 'number' ? messages : messages.length);
  if (typeof messages !== 'number') t.deepEqual(result.messages, messages.map(withId));
  // A reply without headers is Trailers-Only. gRPC clients retry only such replies.
  const sendsHeaders = result.messages.length > 0 || Object.keys(initial).length > 0;
  t.is(result.initial !== undefined, sendsHeaders, 'Trailers-Only');
  t.deepEqual(metadataEntries(result.initial), initial);
  const {
    'grpc-status-details-bin': details,
    'grpc-retry-pushback-ms': pushback,
    ...others
  } = metadataEntries(result.trailers);
  const { 'grpc-status-details-bin': ownDetails, ...own } = trailing;
  t.deepEqual(others, {
    ...own,
    ...(expected.stored && { 'idempotency-expires-at': [expiry] }),
    ...(expected.replayed && { 'idempotent-replayed': ['true'] }),
  } as Entries);
  if (refusal) assertRefused(t, result, expected, refusal);
  else t.deepEqual([details, pushback], [ownDetails, undefined]);
}

function assertRefused(
  t: ExecutionContext,
  result: CallResult,
  { code }: Expected,
  refusal: NonNullable<Expected['refusal']>,
) {
  const { reason, metadata = {}, field, retryMs } = refusal;
  const received = result.statusDetails;
  t.deepEqual([received?.code, received?.message], [code, result.details]);
  t.true(result.details.length > 20, 'the message explains the refusal');
  t.deepEqual(received?.errorInfo, { reason, domain: 'grpc-replay-guard', metadata });
  const adds = [...(field === undefined ? [] : ['BadRequest']), ...(retryMs ? ['RetryInfo'] : [])];
  t.deepEqual(received?.types, ['ErrorInfo', ...adds]);
  t.deepEqual(
    received?.badRequest?.fieldViolations.map((violation) => violation.field),
    field === undefined ? undefined : [field],
  );
  for (const { description } of received?.badRequest?.fieldViolations ?? [])
    t.true(result.details.endsWith(description));
  const pushback = result.trailers.get('grpc-retry-pushback-ms');
  t.deepEqual(pushback, retryMs ? [String(received?.retryInfo?.retryDelayMs)] : []);
  if (!retryMs) return;
  t.regex(String(pushback[0]), /^\d+$/);
  t.true(Number(pushback[0]) >= retryMs[0] && Number(pushback[0]) <= retryMs[1], String(pushback[0]));
}

/** Encodes a response whose first field is the id. */
function withId(id: string): Buffer {
  const text = Buffer.from(id);
  return text.length === 0 ? text : Buffer.concat([Buffer.of(0x0a), varint(text.length), text]);
}

function varint(value: number): Buffer {
  return value < 128 ? Buffer.of(value) : Buffer.of((value & 127) | 128, ...varint(value >> 7));
}
