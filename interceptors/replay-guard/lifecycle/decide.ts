import { Metadata, status } from '@grpc/grpc-js';
import { CommitInDoubtError, DatabaseUnavailableError, LeaseLostError } from '../../database/errors.js';
import type { Answer } from '../call/guarded-call.js';
import type { HandlerResult } from '../call/reply-capture.js';
import type { MethodPolicy } from '../policy/policy.js';
import { Refusal, refusals } from '../refusal/refusal.js';
import type { Reply } from '../reply/reply.js';

/** What is to become of an execution's writes, its key, and the caller. */
export type Decision =
  | Kept
  /** All rolls back, the key is free; the caller is told `answer`. */
  | { readonly kind: 'release'; readonly answer: Answer };

/** A reply that is kept: `complete` commits the writes with it, `fail` rolls them back. */
export interface Kept {
  readonly kind: 'complete' | 'fail';
  readonly reply: Reply;
}

/** Decides by how the handler ended which results are kept. */
export function decide(end: HandlerResult, policy: MethodPolicy): Decision {
  if ('failure' in end) return { kind: 'release', answer: failureAnswer(end.failure) };
  if ('tooLarge' in end)
    return { kind: 'fail', reply: asReply(refusals.replyTooLarge(policy.maxReplyBytes)) };
  const { reply } = end;
  if (reply.code === status.OK) return { kind: 'complete', reply };
  const isKept = policy.replayedCodes.includes(reply.code);
  return isKept ? { kind: 'fail', reply } : { kind: 'release', answer: reply };
}

function failureAnswer(failure: unknown): Answer {
  if (failure instanceof LeaseLostError) return toAnswer(refusals.leaseLost());
  return failure instanceof Refusal
    ? toAnswer(failure)
    : { code: status.INTERNAL, details: 'the handler failed; nothing was committed' };
}

/** Whether the claim, after this error in settling it, is still this execution's to release. */
export function mayRelease(error: unknown): boolean {
  return !(error instanceof CommitInDoubtError || error instanceof LeaseLostError);
}

/** What the caller is told when the settlement itself failed. */
export function commitFailureAnswer(error: unknown): Answer {
  if (error instanceof CommitInDoubtError) return toAnswer(refusals.outcomeUnknown());
  if (error instanceof LeaseLostError) return toAnswer(refusals.leaseLost());
  if (error instanceof DatabaseUnavailableError) return toAnswer(refusals.storeUnavailable());
  return { code: status.INTERNAL, details: 'the execution could not be committed and was rolled back' };
}

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
