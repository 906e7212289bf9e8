import { Metadata } from '@grpc/grpc-js';
import { v7 } from 'uuid';
import { currentExecution, deriveDigest, type Execution } from '../execution/execution.js';
import {
  FIRST_SENT_HEADER,
  isKey,
  KEY_CHARACTERS,
  KEY_HEADER,
  PRODUCER_HEADER,
} from '../protocol/headers.js';
import { parseTime } from '../protocol/rfc3339.js';
import { withoutCallersName } from './caller-metadata.js';

/** What stands for one logical operation on all its attempts; to be kept until the outcome is known. */
export interface Intent {
  readonly key: string;
  /** When the first attempt was sent, RFC 3339; absent where that is not known. */
  readonly firstSent?: string;
}

/**
 * A new operation, about to be sent: a UUIDv7, later ones greater than earlier ones, and the time. In a guarded
 * call it follows from that call's operation and how many intents came before in the same step, so that a second
 * execution makes the same: one that may be left out then needs a `step` of its own.
 */
export function newIntent(): Intent {
  // No method has such a path.
  return intentFor('intent');
}

/** The intent of a call of a method, made where the code runs that makes the call. */
export function intentFor(path: string): Intent {
  const execution = currentExecution.getStore();
  return execution ? derived(execution, path) : { key: v7(), firstSent: new Date().toISOString() };
}

/**
 * What the operation causes was not sent before the operation itself was, so its time is the one that is safe to
 * give: a callee that retains keys as long refuses what it may have forgotten, and nothing else. Where it is not
 * known there is none to give, for an execution cannot tell whether it is the first.
 */
function derived(execution: Execution, path: string): Intent {
  const ordinal = (execution.callCounts.get(path) ?? 0) + 1;
  execution.callCounts.set(path, ordinal);
  const key = deriveDigest(execution, 'call', path, String(ordinal)).toString('base64url');
  const { firstSentMs } = execution;
  return firstSentMs === undefined ? { key } : { key, firstSent: new Date(firstSentMs).toISOString() };
}

/**
 * Metadata for one attempt at an operation whose key the caller keeps. In a guarded call that is not the call's own
 * key: `createIdempotencyInterceptor` takes it for passed on, and puts another in its place.
 * @param key 1 to 255 characters out of `A-Z a-z 0-9 . _ ~ : / + = @ -`
 * @param options.firstSent when the first attempt was sent, the same on every attempt; a text is RFC 3339
 * @param metadata what else is sent; it is not changed
 * @throws TypeError the key or the time is malformed, or the metadata has a sequence
 */
export function withIdempotencyKey(
  key: string,
  { firstSent }: { readonly firstSent?: Date | string } = {},
  metadata = new Metadata(),
): Metadata {
  if (!isKey(key)) throw new TypeError(`an idempotency key has ${KEY_CHARACTERS}`);
  const sent = withoutCallersName(metadata).clone();
  if (sent.get(PRODUCER_HEADER).length > 0) throw new TypeError('the metadata has a sequence already');
  sent.set(KEY_HEADER, key);
  setFirstSent(sent, firstSent);
  return sent;
}

/** Says when the first attempt was sent, where that is known. @throws TypeError the time is malformed */
export function setFirstSent(sent: Metadata, firstSent: Date | string | undefined): void {
  if (firstSent !== undefined) sent.set(FIRST_SENT_HEADER, rfc3339(firstSent));
}

/** @throws TypeError */
function rfc3339(time: Date | string): string {
  const isText = typeof time === 'string';
  const text = isText ? time : Number.isFinite(time.getTime()) ? time.toISOString() : '';
  if (parseTime(text) === undefined) throw new TypeError('firstSent is a time such as 2026-01-31T08:30:00Z');
  return text;
}
