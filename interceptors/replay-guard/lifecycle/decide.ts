import { Metadata, status } from '@grpc/grpc-js';
import {
  findCause,
  isCommitInDoubt,
  isLeaseLost,
  isOutage,
  isUnavailable,
} from '../../database/error-kinds.js';
import type { Claim } from '../../store/store.js';
import type { Answer } from '../call/guarded-call.js';
import type { HandlerResult } from '../call/reply-capture.js';
import type { MethodPolicy } from '../policy/policy.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { Reply } from '../reply/reply.js';

/** The decision on an execution whose handler has ended. It covers the writes, the key and the answer. */
export type Decision =
  | StoredResult
  /** Rolls the writes back, releases the key and answers the call with `answer`. */
  | { readonly kind: 'release'; readonly answer: Answer };

/** Stores a reply: `complete` commits the writes with the reply, `fail` rolls the writes back first. */
export interface StoredResult {
  readonly kind: 'complete' | 'fail';
  readonly reply: Reply;
}

/**
 * Decides whether the result of a handler is stored, by the policy of its method. An error of the database is never
 * stored, whether the handler threw it, rejected with it or passed it to the callback.
 */
export function decide(result: HandlerResult, policy: MethodPolicy, claim: Pick<Claim, 'failure'>): Decision {
  if ('failure' in result) return { kind: 'release', answer: failureAnswer(result.failure, claim.failure) };
  if ('tooLarge' in result) return { kind: 'fail', reply: asReply(refusals.replyTooLarge(result.tooLarge)) };
  const { reply } = result;
  if (reply.code === status.OK) return { kind: 'complete', reply };
  if (reply.code === status.UNKNOWN) {
    // grpc-js sends this status for an error without a status code, and drops the error. The claim keeps the error.
    const answer = databaseAnswer(claim.failure);
    if (answer) return { kind: 'release', answer };
  }
  const isStored = policy.replayedCodes.includes(reply.code);
  return isStored ? { kind: 'fail', reply } : { kind: 'release', answer: reply };
}

/** @param statement the error of the first statement of the execution that failed */
function failureAnswer(failure: unknown, statement: unknown): Answer {
  if (failure instanceof Refusal) return toAnswer(failure);
  const answer = databaseAnswer(failure) ?? databaseAnswer(statement);
  return answer ?? { code: status.INTERNAL, details: 'the handler failed; nothing was committed' };
}

/** Returns the answer for an error of the database, also if the handler has wrapped the error. The client may retry. */
function databaseAnswer(error: unknown): Answer | undefined {
  if (findCause(error, isLeaseLost)) return toAnswer(refusals.leaseLost());
  if (findCause(error, isCommitInDoubt)) return toAnswer(refusals.outcomeUnknown());
  return findCause(error, isUnavailable) ? toAnswer(refusals.databaseFailed(error)) : undefined;
}

/**
 * Returns the failure that observers receive about a handler that has ended. During an outage, the error of the statement
 * explains the answer. The handler may have replaced that error, and grpc-js drops an error that a callback receives.
 * @param statement the error of the first statement of the execution that failed
 * @returns undefined if the handler answered the call itself, or if the execution was refused or has lost its lease
 */
export function failureOf(
  result: HandlerResult,
  statement: unknown,
): { readonly failure: unknown } | undefined {
  const outage = findCause(statement, isOutage) ? { failure: statement } : undefined;
  if ('failure' in result) {
    const { failure } = result;
    if (failure instanceof Refusal || isLeaseLost(failure)) return undefined;
    return findCause(failure, isOutage) ? result : (outage ?? result);
  }
  if (!('reply' in result)) return undefined;
  if (result.replaced) return { failure: result.replaced };
  return result.reply.code === status.UNKNOWN ? outage : undefined;
}

/** Returns whether the execution still holds its claim after this error of the commit. */
export function mayRelease(error: unknown): boolean {
  return !(isCommitInDoubt(error) || isLeaseLost(error));
}

/** Returns the answer to a call whose commit failed with this error. */
export function commitFailureAnswer(error: unknown): Answer {
  const answer = databaseAnswer(error);
  return (
    answer ?? { code: status.INTERNAL, details: 'the execution could not be committed and was rolled back' }
  );
}

/** Returns the answer that sends a refusal. */
export function toAnswer(refusal: Refusal): Answer {
  const { code, reason, message, metadata } = refusal;
  return { code, reason, details: message, trailing: metadata };
}

/** Returns a refusal that is stored as the reply. Its first answer is the refusal, and later answers are replays. */
function asReply(refusal: Refusal): Reply {
  return { ...toAnswer(refusal), messages: [], initial: new Metadata(), trailing: refusal.metadata };
}
