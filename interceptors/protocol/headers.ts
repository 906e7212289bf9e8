/** The metadata name under which a client sends its key: one per logical operation. */
export const KEY_HEADER = 'idempotency-key';

/** The metadata name under which a producer that numbers its calls names itself; instead of a key. */
export const PRODUCER_HEADER = 'idempotency-producer';

/** The metadata name of a producer's number for the call: one higher for each operation. */
export const SEQUENCE_HEADER = 'idempotency-sequence';

/** The metadata name of the producer's epoch, 0 where it is left out; a higher one shuts the lower ones out. */
export const EPOCH_HEADER = 'idempotency-epoch';

/** The metadata name under which a client may say when it first sent an operation, RFC 3339. */
export const FIRST_SENT_HEADER = 'idempotency-first-sent';

/** Until when the key is retained, RFC 3339. */
export const EXPIRES_TRAILER = 'idempotency-expires-at';

/** Present on a reply that an earlier execution stored. */
export const REPLAYED_TRAILER = 'idempotent-replayed';

/** Whether a metadata entry is the guard's to send and nobody else's. */
export function isGuards(name: string): boolean {
  return /^idempoten(t|cy)-/.test(name);
}

/** The `domain` of the ErrorInfo in every answer that the guard itself gives. */
export const ERROR_DOMAIN = 'grpc-replay-guard';

const wellFormed = /^[A-Za-z0-9._~:/+=@-]{1,255}$/;

/** What `isKey` asks for, in words. */
export const KEY_CHARACTERS = '1 to 255 characters out of A-Z a-z 0-9 . _ ~ : / + = @ -';

/** Whether a value can be an idempotency key; what is no text cannot, though it could be written as one. */
export function isKey(value: unknown): value is string {
  return typeof value === 'string' && wellFormed.test(value);
}

const decimal = /^(0|[1-9]\d{0,18})$/;
const HIGHEST = 2n ** 63n - 1n;

/** What `toSequence` asks for, in words. */
export const SEQUENCE_FORM = 'a whole number from 0 to 9223372036854775807, in digits without leading zeros';

/** The sequence or epoch that a text is; undefined where it is none. */
export function toSequence(text: string): bigint | undefined {
  const number = decimal.test(text) ? BigInt(text) : undefined;
  return number !== undefined && number <= HIGHEST ? number : undefined;
}
