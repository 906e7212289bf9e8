import { subscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { legalText, singleValueNames } from '../../protocol/entry-names.js';
import {
  EPOCH_HEADER,
  FIRST_SENT_HEADER,
  KEY_HEADER,
  PRODUCER_HEADER,
  SEQUENCE_HEADER,
} from '../../protocol/headers.js';
import { streamOf } from './base-call.js';

/** The headers of a stream as Node received them: names and values in turn. */
type RawHeaders = readonly string[];

/** The names of the entries that the guard reads. */
const guardNames: ReadonlySet<string> = new Set([
  ...[KEY_HEADER, PRODUCER_HEADER, SEQUENCE_HEADER, EPOCH_HEADER, FIRST_SENT_HEADER],
]);

/** The property of an announced stream: its headers if its metadata hides an entry, otherwise null. */
const HEADERS = Symbol('headers');

interface AnnouncedStream {
  [HEADERS]?: RawHeaders | null;
}

/** The servers and sessions whose streams this module sees. */
const watched = new WeakSet<EventEmitter>();
let isWatching = false;
let hasWarned = false;

/**
 * Watches the headers of all streams in this process. grpc-js drops the raw headers of a call, so they can only be read
 * when Node announces the stream. Node publishes each connection of a server before its first stream.
 */
export function watchHeaders(): void {
  if (isWatching) return;
  isWatching = true;
  subscribe('net.server.socket', (message) => {
    const { socket } = message as { readonly socket?: { readonly server?: unknown } };
    const server = socket?.server;
    // Only HTTP/2 servers have listeners for streams.
    if (server instanceof EventEmitter && server.listenerCount('stream') > 0) watch(server);
  });
}

function watch(emitter: EventEmitter): void {
  if (watched.has(emitter)) return;
  watched.add(emitter);
  // grpc-js makes the call of a stream in its own listener, in the same turn of the event loop.
  emitter.prependListener('stream', onStream);
}

function onStream(stream: unknown, _headers: unknown, _flags: unknown, headers: unknown): void {
  if (!(stream instanceof EventEmitter) || !Array.isArray(headers)) return;
  // A variable of this module would keep the last stream in memory, with its request.
  (stream as AnnouncedStream)[HEADERS] = hidesEntries(headers) ? headers : null;
}

/**
 * Returns the raw headers of a call whose metadata hides an entry, otherwise undefined. The first call whose headers cannot
 * be read is reported as a process warning.
 */
export function hiddenEntriesOf(wire: ServerInterceptingCallInterface): RawHeaders | undefined {
  const stream = streamOf(wire);
  const headers = (stream as AnnouncedStream | undefined)?.[HEADERS];
  if (headers !== undefined) return headers ?? undefined;
  // Node does not publish a connection that other code gives to the server. From now on, watch the session of this stream.
  const session = stream && (stream as { readonly session?: unknown }).session;
  if (session instanceof EventEmitter) watch(session);
  if (!hasWarned) warn(stream ? 'Node has not announced its stream' : 'grpc-js does not show its stream');
  return undefined;
}

function warn(reason: string): void {
  hasWarned = true;
  const effect =
    'Entries that grpc-js or Node drops count as not sent: a malformed idempotency key, or a second authorization.';
  process.emitWarning(`the raw headers of a call cannot be read, because ${reason}. ${effect}`, {
    type: 'ReplayGuardWarning',
    code: 'REPLAY_GUARD_NO_RAW_HEADERS',
  });
}

function hidesEntries(headers: RawHeaders): boolean {
  for (let i = 0; i < headers.length; i += 2) if (isHidden(headers, i)) return true;
  return false;
}

/**
 * Whether metadata hides an entry: an entry of the guard whose value grpc-js drops, or a second entry of a name of which
 * Node reads the first entry only.
 */
function isHidden(headers: RawHeaders, index: number): boolean {
  const name = headers[index] as string;
  if (guardNames.has(name)) return !legalText.test(headers[index + 1] as string);
  if (!singleValueNames.has(name)) return false;
  for (let i = 0; i < index; i += 2) if (headers[i] === name) return true;
  return false;
}

/**
 * Returns a copy of metadata that also has the hidden entries. Bytes that metadata cannot carry become question marks.
 * No valid key, sequence or time contains a question mark.
 * @param headers the raw headers of the call, as `hiddenEntriesOf` returns them
 */
export function withHiddenEntries(metadata: Metadata, headers: RawHeaders): Metadata {
  const complete = metadata.clone();
  const names = new Set(headers.filter((_, i) => i % 2 === 0 && isHidden(headers, i)));
  for (const name of names) complete.remove(name);
  for (let i = 0; i < headers.length; i += 2) {
    const [name, value] = headers.slice(i, i + 2) as [string, string];
    if (names.has(name)) complete.add(name, value.replaceAll(/[^ -~]/g, '?'));
  }
  return complete;
}
