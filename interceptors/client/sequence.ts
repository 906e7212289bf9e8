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
import { withoutCallersName } from './caller-metadata.js';
import { setFirstSent } from './intent.js';

/** What stands for one operation of a producer that numbers its calls, on all its attempts. */
export interface ProducerSequence {
  /** 1 to 255 characters out of `A-Z a-z 0-9 . _ ~ : / + = @ -`; one name per producer. */
  readonly producer: string;
  /**
   * 0 or 1 for the first operation of an epoch, one more for each that follows, up to 2^63 - 1. Kept, with the request,
   * before it is sent.
   */
  readonly sequence: number | bigint;
  /** Raised when the producer starts again without knowing its sequence. Default: 0. */
  readonly epoch?: number | bigint;
}

/**
 * Metadata for one attempt at an operation of a producer that numbers its calls, instead of a key.
 * @param options.firstSent when the first attempt was sent, the same on every attempt; a text is RFC 3339
 * @param metadata what else is sent; it is not changed
 * @throws TypeError a part is malformed, or the metadata has an idempotency key
 */
export function withSequence(
  { producer, sequence, epoch }: ProducerSequence,
  { firstSent }: { readonly firstSent?: Date | string } = {},
  metadata = new Metadata(),
): Metadata {
  if (!isKey(producer)) throw new TypeError(`a producer has ${KEY_CHARACTERS}`);
  const sent = withoutCallersName(metadata).clone();
  if (sent.get(KEY_HEADER).length > 0) throw new TypeError('the metadata has an idempotency key already');
  sent.set(PRODUCER_HEADER, producer);
  sent.set(SEQUENCE_HEADER, written('sequence', sequence));
  if (epoch === undefined) sent.remove(EPOCH_HEADER);
  else sent.set(EPOCH_HEADER, written('epoch', epoch));
  setFirstSent(sent, firstSent);
  return sent;
}

/** A number beyond 2^53 may be another than was meant: it has to be a bigint. */
function written(name: string, value: number | bigint): string {
  const text = typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : '';
  if (toSequence(text) === undefined) throw new TypeError(`${name} must be ${SEQUENCE_FORM}`);
  return text;
}
