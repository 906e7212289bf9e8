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
import { invalid } from './key.js';

/** How a producer that numbers its calls names one of them. */
export interface Sequence {
  readonly producer: string;
  readonly epoch: bigint;
  readonly sequence: bigint;
}

/**
 * The call's sequence, or undefined where it carries none.
 * @throws Refusal IDEMPOTENCY_KEY_INVALID: a part is missing, malformed, or sent more than once
 */
export function readSequence(metadata: Metadata): Sequence | undefined {
  const [producer, sequence, epoch] = [PRODUCER_HEADER, SEQUENCE_HEADER, EPOCH_HEADER].map((name) =>
    textOf(metadata, name),
  );
  if (producer === undefined && sequence === undefined && epoch === undefined) return undefined;
  if (producer === undefined) throw invalid(PRODUCER_HEADER, 'is required with a sequence or an epoch');
  if (!isKey(producer)) throw invalid(PRODUCER_HEADER, `must be sent exactly once, with ${KEY_CHARACTERS}`);
  if (sequence === undefined) throw invalid(SEQUENCE_HEADER, 'is required with a producer');
  return {
    producer,
    sequence: numberIn(SEQUENCE_HEADER, sequence),
    epoch: epoch === undefined ? 0n : numberIn(EPOCH_HEADER, epoch),
  };
}

/** Several headers of one name reach us joined by a comma, which no valid value contains. */
function textOf(metadata: Metadata, name: string): string | undefined {
  const values = metadata.get(name);
  return values.length === 0 ? undefined : values.join(', ');
}

function numberIn(name: string, text: string): bigint {
  const number = toSequence(text);
  if (number === undefined) throw invalid(name, `must be sent exactly once, as ${SEQUENCE_FORM}`);
  return number;
}
