import { Metadata } from '@grpc/grpc-js';
import {
  EPOCH_HEADER,
  isKey,
  KEY_CHARACTERS,
  KEY_HEADER,
  PRODUCER_HEADER,
  SEQUENCE_FORM,
  SEQUENCE_HEADER,
  toSequence,
} from '../protocol/headers.js';
import { withoutCallerKey } from './caller-metadata.js';
import { setFirstSent } from './intent.js';

/** The name of one operation of a producer that numbers its calls. The name is equal in all attempts. */
export interface ProducerSequence {
  /** The name of the producer: 1 to 255 characters out of `A-Z a-z 0-9 . _ ~ : / + = @ -`. */
  readonly producer: string;
  /**
   * The number of the operation: 0 or 1 for the first operation of an epoch, then one more for each operation, up to
   * 2^63 - 1. Store the number together with the request before you send it. A number above 2^53 - 1 must be a
   * bigint.
   */
  readonly sequence: number | bigint;
  /** Increase the epoch when the producer restarts without knowing its last sequence. Default: 0. */
  readonly epoch?: number | bigint;
}

/**
 * Returns the metadata of one attempt at an operation of a producer that numbers its calls. The sequence
 * replaces the key.
 * @param options.firstSent the time of the first attempt, equal in every attempt; a string is RFC 3339
 * @param metadata further metadata to send; the function does not change it
 * @throws TypeError when a part is malformed, or the metadata has an idempotency key
 */
export function withSequence(
  { producer, sequence, epoch }: ProducerSequence,
  { firstSent }: { readonly firstSent?: Date | string } = {},
  metadata = new Metadata(),
): Metadata {
  if (!isKey(producer)) throw new TypeError(`a producer must have ${KEY_CHARACTERS}`);
  const sent = withoutCallerKey(metadata).clone();
  if (sent.get(KEY_HEADER).length > 0) throw new TypeError('the metadata already has an idempotency key');
  sent.set(PRODUCER_HEADER, producer);
  sent.set(SEQUENCE_HEADER, sequenceText('sequence', sequence));
  if (epoch === undefined) sent.remove(EPOCH_HEADER);
  else sent.set(EPOCH_HEADER, sequenceText('epoch', epoch));
  setFirstSent(sent, firstSent);
  return sent;
}

/** Refuses numbers beyond 2^53 - 1, because JavaScript may have rounded them. */
function sequenceText(name: string, value: number | bigint): string {
  const text = typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : '';
  if (toSequence(text) === undefined) throw new TypeError(`${name} must be ${SEQUENCE_FORM}`);
  return text;
}
