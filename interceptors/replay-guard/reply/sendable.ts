import { status } from '@grpc/grpc-js';
import type { ExceededLimit } from '../refusal/refusal.js';
import { type BlockSize, measureBlock, ResponseError, statusMessageBytes } from './header-block.js';
import type { Reply } from './reply.js';

/** The limits of a method's replies at one server. */
export interface ReplyLimits {
  /** Whether the method returns a stream of messages. Otherwise OK needs exactly one message. */
  readonly streams: boolean;
  /** The `max_reply_bytes` of the method. */
  readonly maxReplyBytes: number;
  /** The server's limit for one message, in bytes (`grpc.max_send_message_length`). Infinity without a limit. */
  readonly maxMessageBytes: number;
}

/** The bytes that gRPC puts before each message: a flag and the length. */
export const MESSAGE_PREFIX_BYTES = 5;

/**
 * The entries that gRPC, Node and the guard add to a block. A reply without initial metadata and messages has one
 * block: `:status`, `content-type`, `date`, `grpc-status`, `grpc-message`, `idempotency-expires-at` and
 * `idempotent-replayed`, together 395 bytes in 7 entries. The rest is for the metrics that grpc-js can add.
 */
const OWN: BlockSize = { bytes: 512, entries: 8 };

/**
 * The maximum size of a handler's initial metadata, and of its trailing metadata with the status message, in bytes. Many
 * gRPC clients refuse a header block above 8 KiB, for example those in Java and those on gRPC Core (C++, Python, Ruby).
 */
const MAX_METADATA_BYTES = 8_192 - OWN.bytes;

/** The maximum number of entries in each block. Clients on Node refuse a block of more than 128 entries. */
const MAX_METADATA_ENTRIES = 128 - OWN.entries;

/**
 * The maximum size of a block that Node sends, in bytes. With a larger block the call and its connection hang: nghttp2
 * refuses a value above 64 KiB. A reply that an earlier version stored may be larger than `MAX_METADATA_BYTES`, and is
 * replayed up to this size.
 */
const MAX_CARRIED_BYTES = 65_536 - OWN.bytes;

/**
 * Returns the limit that a new reply exceeds. Returns undefined if the reply can be sent.
 * @throws ResponseError if the reply cannot be sent for another reason
 */
export function exceededLimit(reply: Reply, limits: ReplyLimits): ExceededLimit | undefined {
  assertStatus(reply, limits.streams);
  const initial = measureBlock(reply.initial);
  const trailing = measureBlock(reply.trailing);
  const text = statusMessageBytes(reply.details);
  const blocks = initial.bytes + trailing.bytes + text;
  if (messageBytes(reply.messages) + blocks > limits.maxReplyBytes)
    return { part: 'reply', limit: limits.maxReplyBytes };
  if (reply.messages.some(({ length }) => length > limits.maxMessageBytes))
    return { part: 'message', limit: limits.maxMessageBytes };
  if (Math.max(initial.bytes, trailing.bytes + text) > MAX_METADATA_BYTES)
    return { part: 'metadata', limit: MAX_METADATA_BYTES };
  if (Math.max(initial.entries, trailing.entries) > MAX_METADATA_ENTRIES)
    return { part: 'entries', limit: MAX_METADATA_ENTRIES };
  return undefined;
}

/**
 * Whether this server can send a stored reply. Another server may have stored the reply, with a larger limit for
 * messages or with an earlier version of the guard.
 */
export function isSendable(reply: Reply, { streams, maxMessageBytes }: ReplyLimits): boolean {
  try {
    assertStatus(reply, streams);
    const trailing = measureBlock(reply.trailing).bytes + statusMessageBytes(reply.details);
    const largest = Math.max(measureBlock(reply.initial).bytes, trailing);
    return largest <= MAX_CARRIED_BYTES && reply.messages.every(({ length }) => length <= maxMessageBytes);
  } catch {
    return false;
  }
}

/** Whether gRPC has this status code. */
export function isStatusCode(code: unknown): code is status {
  return typeof code === 'number' && status[code] !== undefined;
}

/** The size of messages as gRPC sends them, in bytes. */
function messageBytes(messages: readonly Buffer[]): number {
  return messages.reduce((sum, { length }) => sum + MESSAGE_PREFIX_BYTES + length, 0);
}

function assertStatus({ code, messages }: Reply, streams: boolean): void {
  if (!isStatusCode(code)) throw new ResponseError(`gRPC has no status code ${String(code)}`);
  if (code === status.OK && !streams && messages.length !== 1)
    throw new ResponseError('a unary reply with status OK needs a message');
}
