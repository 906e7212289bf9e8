import type { CallSettings } from './call.js';

/** The metadata of a producer's call. */
export function sequenceSettings(
  producer: string,
  sequence: number | bigint,
  epoch?: number | bigint,
): CallSettings {
  return {
    metadata: {
      'idempotency-producer': producer,
      'idempotency-sequence': String(sequence),
      ...(epoch !== undefined && { 'idempotency-epoch': String(epoch) }),
    },
  };
}
