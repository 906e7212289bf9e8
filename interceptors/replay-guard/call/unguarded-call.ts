import { type Metadata, ServerInterceptingCall } from '@grpc/grpc-js';
import { ownMetadata } from '../reply/own-metadata.js';
import type { PartialStatusObject } from './reply-capture.js';

/**
 * A call of a method that the guard does not guard. The call passes unchanged, except that its handler cannot answer with
 * the entries and refusals of a guard.
 */
export class UnguardedCall extends ServerInterceptingCall {
  override sendMetadata(metadata: Metadata): void {
    super.sendMetadata(ownMetadata(metadata));
  }

  override sendStatus(end: PartialStatusObject): void {
    const { metadata } = end;
    super.sendStatus(metadata ? { ...end, metadata: ownMetadata(metadata) } : end);
  }
}
