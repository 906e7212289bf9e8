import { Metadata, status } from '@grpc/grpc-js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
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

/** Decides whether the result of a handler is stored, by the policy of its method. */
export function decide(result: HandlerResult, policy: MethodPolicy): Decision {
  if ('failure' in result) return { kind: 'release', answer: failureAnswer(result.failure) };
  if ('tooLarge' in result)
    return { kind: 'fail', reply: asReply(refusals.replyTooLarge(policy.maxReplyBytes)) };
  const { reply } = result;
  if (reply.code === status.OK) return { kind: 'complete', reply };
  const isStored = policy.replayedCodes.includes(reply.code);
  return isStored ? { kind: 'fail', reply } : { kind: 'release', answer: reply };
}

function failureAnswer(failure: unknown): Answer {
  if (failure instanceof LeaseLostError) return toAnswer(refusals.leaseLost());
  return failure instanceof Refusal
    ? toAnswer(failure)
    : { code: status.INTERNAL, details: 'the handler failed; nothing was committed' };
}

/** Returns whether the execution still holds its claim after this error of the commit. */
export function mayRelease(error: unknown): boolean {
  return !(error instanceof CommitInDoubtError || error instanceof LeaseLostError);
}

/** Returns the answer to a call whose commit failed with this error. */
export function commitFailureAnswer(error: unknown): Answer {
  if (error instanceof CommitInDoubtError) return toAnswer(refusals.outcomeUnknown());
  if (error instanceof LeaseLostError) return toAnswer(refusals.leaseLost());
  if (error instanceof DatabaseUnavailableError) return toAnswer(refusals.storeUnavailable());
  return { code: status.INTERNAL, details: 'the execution could not be committed and was rolled back' };
}

/** Returns the answer that sends a refusal. */
export function toAnswer(refusal: Refusal): Answer {
  return { code: refusal.code, details: refusal.message, trailing: refusal.metadata };
}

function asReply(refusal: Refusal): Reply {
  return {
    code: refusal.code,
    details: refusal.message,
    messages: [],
    initial: new Metadata(),
    trailing: refusal.metadata,
  };
}
