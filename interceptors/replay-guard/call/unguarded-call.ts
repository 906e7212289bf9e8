import { type Metadata, ServerInterceptingCall, type ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { GuardedMethod } from '../method/guarded-method.js';
import { ownMetadata } from '../reply/own-metadata.js';
import { forEachCall } from './base-call.js';
import type { PartialStatusObject } from './reply-capture.js';

type InterceptingServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

/** The property of an `UnguardedCall` in all copies of the library: whether another guard answers the call. */
const ANSWERED_BY_GUARD = Symbol.for('grpc-replay-guard/answered-by-guard');

/**
 * A call of a method that the guard does not guard. The call passes unchanged, except that its handler cannot answer with
 * the entries and refusals of a guard.
 */
export class UnguardedCall extends ServerInterceptingCall {
  [ANSWERED_BY_GUARD] = false;
  readonly #method: GuardedMethod | undefined;

  /** @param method the method, if its mode is OFF. Undefined if the guard does not know the method. */
  constructor(wire: ServerInterceptingCallInterface, method: GuardedMethod | undefined) {
    super(wire);
    this.#method = method;
  }

  override start(listener: InterceptingServerListener): void {
    super.start({
      onReceiveMetadata: (metadata) => listener.onReceiveMetadata(metadata),
      onReceiveMessage: (message) => {
        // The protected definition remembers the bytes of each request. This call does not need them.
        this.#method?.receive(message);
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => listener.onReceiveHalfClose(),
      onCancel: () => listener.onCancel(),
    });
  }

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
