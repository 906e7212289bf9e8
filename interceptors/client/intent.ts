import { Metadata } from '@grpc/grpc-js';
import { deriveDigest, derivingExecution, type Execution } from '../execution/execution.js';
import { uuidv7 } from '../execution/uuid.js';
import {
  FIRST_SENT_HEADER,
  KEY_CHARACTERS,
  KEY_HEADER,
  keyIn,
  PRODUCER_HEADER,
} from '../protocol/headers.js';
import { parseTime } from '../protocol/rfc3339.js';
import { withoutCallerKey } from './caller-metadata.js';

/**
 * Identifies one operation in all its attempts. Keep the intent until the outcome of the operation is known.
 */
export interface Intent {
  /** The idempotency key. */
  readonly key: string;
  /** The time of the first attempt, RFC 3339. Absent if the time is not known. */
  readonly firstSent?: string;
}

/**
 * Returns the intent of a new operation that is about to be sent: a UUIDv7 and the current time. Later keys sort after
 * earlier keys.
 *
 * Inside a guarded call, the intent is derived from the operation and from the number of earlier intents in the same
 * step. A second execution therefore receives the same intents. Create a conditional intent inside a separate `step`.
 * @throws Error inside a guarded call of another copy of this library whose version cannot share its context with this
 *   version
 */
export function newIntent(): Intent {
  // The path of a method starts with a slash, so this text is never equal to a path.
  return intentFor('intent');
}

/** Returns the intent of a call of a method. Must run in the asynchronous context of the call. */
export function intentFor(path: string): Intent {
  const execution = derivingExecution();
  return execution ? derivedIntent(execution, path) : { key: uuidv7(), firstSent: new Date().toISOString() };
}

/**
 * Derives an intent from the operation. Its first-sent time is the time of the operation, because the operation was
 * sent before its own calls. A server with the same retention then refuses only keys that it may have deleted. If the
 * operation has no time, the intent has no time, because an execution does not know whether it is the first
 * execution.
 */
function derivedIntent(execution: Execution, path: string): Intent {
  const { progress } = execution;
  progress.callCounts ??= new Map();
  const ordinal = (progress.callCounts.get(path) ?? 0) + 1;
  progress.callCounts.set(path, ordinal);
  const key = deriveDigest(execution, 'call', path, String(ordinal)).toString('base64url');
  const { firstSentMs } = execution;
  return firstSentMs === undefined ? { key } : { key, firstSent: new Date(firstSentMs).toISOString() };
}

/**
 * Returns the metadata of one attempt at an operation whose key the caller keeps. Do not use the key of the current
 * guarded call: `createIdempotencyInterceptor` treats such a key as a forwarded key and replaces it.
 * @param key 1 to 255 characters out of `A-Z a-z 0-9 . _ ~ : / + = @ -`. Double quotes around them, as a server receives
 *   them from an HTTP client, are removed
 * @param options.firstSent the time of the first attempt, equal in every attempt; a string is RFC 3339
 * @param metadata further metadata to send; the function does not change it
 * @throws TypeError when the key or the time is malformed, or the metadata has a sequence
 */
export function withIdempotencyKey(
  key: string,
  { firstSent }: { readonly firstSent?: Date | string } = {},
  metadata = new Metadata(),
): Metadata {
  const bare = keyIn(key);
  if (bare === undefined) throw new TypeError(`an idempotency key must have ${KEY_CHARACTERS}`);
  const sent = withoutCallerKey(metadata).clone();
  if (sent.get(PRODUCER_HEADER).length > 0) throw new TypeError('the metadata already has a sequence');
  sent.set(KEY_HEADER, bare);
  setFirstSent(sent, firstSent);
  return sent;
}

/**
 * Sets the first-sent time, if the time is given.
 * @throws TypeError when the time is malformed
 */
export function setFirstSent(sent: Metadata, firstSent: Date | string | undefined): void {
  if (firstSent !== undefined) sent.set(FIRST_SENT_HEADER, rfc3339(firstSent));
}

function rfc3339(time: Date | string): string {
  const isText = typeof time === 'string';
  const text = isText ? time : Number.isFinite(time.getTime()) ? time.toISOString() : '';
  if (parseTime(text) !== undefined) return text;
  throw new TypeError('firstSent must be an RFC 3339 time such as 2026-01-31T08:30:00Z');
}
