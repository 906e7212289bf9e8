import type { Metadata } from '@grpc/grpc-js';
import {
  EPOCH_HEADER,
  isKey,
  KEY_CHARACTERS,
  PRODUCER_HEADER,
  SEQUENCE_FORM,
  SEQUENCE_HEADER,
  toSequence,
} from '../../protocol/headers.js';
import { invalidName } from './key.js';

/** The name of an operation whose producer numbers its calls. */
export interface Sequence {
  readonly producer: string;
  /** From 0 to 2^63 - 1. A call without an epoch has epoch 0. */
  readonly epoch: bigint;
  /** From 0 to 2^63 - 1. */
  readonly sequence: bigint;
}

/**
 * Reads the call's producer, sequence and epoch. Returns undefined if the call has none of these values.
 * @throws Refusal IDEMPOTENCY_KEY_INVALID if a value is missing, malformed, or sent more than once
 */
export function readSequence(metadata: Metadata): Sequence | undefined {
  const producer = textOf(metadata, PRODUCER_HEADER);
  const sequence = textOf(metadata, SEQUENCE_HEADER);
  const epoch = textOf(metadata, EPOCH_HEADER);
  if (producer === undefined && sequence === undefined && epoch === undefined) return undefined;
  if (producer === undefined) throw invalidName(PRODUCER_HEADER, 'is required with a sequence or an epoch');
  if (!isKey(producer))
    throw invalidName(PRODUCER_HEADER, `must be sent exactly once, with ${KEY_CHARACTERS}`);
  if (sequence === undefined) throw invalidName(SEQUENCE_HEADER, 'is required with a producer');
  return {
    producer,
    sequence: numberIn(SEQUENCE_HEADER, sequence),
    epoch: epoch === undefined ? 0n : numberIn(EPOCH_HEADER, epoch),
  };
}

/** Joins several headers of the same name with a comma, as grpc-js does. A valid value contains no comma. */
function textOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name);
  return values.length === 0 ? undefined : values.join(', ');
}

function numberIn(name: string, text: string): bigint {
  const number = toSequence(text);
  if (number === undefined) throw invalidName(name, `must be sent exactly once, as ${SEQUENCE_FORM}`);
  return number;
}
