import { type Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { ownMetadata } from '../reply/own-metadata.js';
import { forEachCall } from './base-call.js';
import type { PartialStatusObject } from './reply-capture.js';

/** The property of an `UnguardedCall` in all copies of the library: whether another guard answers the call. */
const ANSWERED_BY_GUARD = Symbol.for('grpc-replay-guard/answered-by-guard');

/**
 * A call of a method that the guard does not guard. The call passes unchanged, except that its handler cannot answer with
 * the entries and refusals of a guard.
 */
export class UnguardedCall extends ServerInterceptingCall {
  [ANSWERED_BY_GUARD] = false;

  override sendMetadata(metadata: Metadata): void {
    super.sendMetadata(this[ANSWERED_BY_GUARD] ? metadata : ownMetadata(metadata));
  }

  override sendStatus(end: PartialStatusObject): void {
    const { metadata } = end;
    const passes = this[ANSWERED_BY_GUARD] || !metadata;
    super.sendStatus(passes ? end : { ...end, metadata: ownMetadata(metadata) });
  }
}

/** Makes the other guards of a server pass the answers of the guard that guards this call. */
export function passAnswers(wire: ServerInterceptingCallInterface): void {
  forEachCall(wire, markAnswered);
}

function markAnswered(call: object): void {
  if (ANSWERED_BY_GUARD in call) call[ANSWERED_BY_GUARD] = true;
}
