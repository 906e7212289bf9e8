import type { NotClaimed } from '../../store/store.js';
import type { Answer } from '../call/guarded-call.js';
import type { CallOutcome } from '../observer.js';
import type { Operation } from '../operation/operation.js';
import { type Refusal, refusals } from '../refusal/refusal.js';
import type { ReplyCodec } from '../reply/reply-codec.js';
import { addReplayed } from '../reply/trailers.js';
import { toAnswer } from './decide.js';
import type { StoredReply } from './in-flight.js';
import { foundOrRefuse, isReused } from './look-up.js';

/** How a call ends. Each step of a call's life returns this value, and one place acts on it. */
export interface CallEnd {
  /** The outcome that observers receive for the call. */
  readonly outcome: CallOutcome;
  /** The answer to the call. Absent if the handler answers the call itself, or the call has already ended. */
  readonly answer?: Answer;
  /** The reply that the store now has. Absent when the store has no reply of the operation. */
  readonly stored?: StoredReply;
  /** The error of a step that has failed. Observers receive the error, the client does not. */
  readonly failure?: unknown;
  /** The refusal that answers the call. Absent for the refusal of an execution that has started. */
  readonly refusal?: Refusal;
}

/** Returns the end of a call that is refused. */
export function refused(refusal: Refusal): CallEnd {
  return { outcome: refusal.outcome, answer: toAnswer(refusal), refusal };
}

/**
 * Returns the end of a call that is answered with a stored reply.
 * @throws Refusal IDEMPOTENCY_REPLY_UNREADABLE when the reply cannot be decoded
 */
export function replayed(codec: ReplyCodec, stored: StoredReply, outcome: 'replayed' | 'joined'): CallEnd {
  const { recordId, reply, expiresAtMs } = stored;
  return { outcome, answer: addReplayed(codec.decode(reply, recordId), expiresAtMs), stored };
}

/**
 * Returns the end of a call whose operation another execution has claimed.
 * @param minAgeMs the minimum age of an execution that still runs, in milliseconds. An open transaction can hide the
 *   age of its record.
 * @throws Refusal when the call cannot be answered with a stored reply
 */
export function endByRecord(
  codec: ReplyCodec,
  operation: Operation,
  result: NotClaimed,
  minAgeMs = 0,
): CallEnd {
  const found = foundOrRefuse(result);
  if (isReused(operation, found)) throw refusals.keyReused();
  if (found.outcome === 'in-progress') throw refusals.inProgress(Math.max(found.ageMs, minAgeMs));
  const { reply, expiresAtMs } = found;
  return replayed(codec, { recordId: operation.id, reply, expiresAtMs }, 'replayed');
}
