import type { CallSettings } from './call.js';

/** Returns settings that identify a call by producer, sequence and epoch. Default: no epoch. */
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
