/** The metadata name of the idempotency key. A client sends one key per operation. */
export const KEY_HEADER = 'idempotency-key';

/** The metadata name of the producer. A producer numbers its calls and sends a sequence instead of a key. */
export const PRODUCER_HEADER = 'idempotency-producer';

/**
 * The metadata name of the sequence. The sequence of each operation is one higher than the sequence of the previous
 * operation.
 */
export const SEQUENCE_HEADER = 'idempotency-sequence';

/** The metadata name of the producer's epoch, 0 if absent. A higher epoch fences all lower epochs. */
export const EPOCH_HEADER = 'idempotency-epoch';

/** The metadata name of the time at which the client first sent the operation, in RFC 3339. Optional. */
export const FIRST_SENT_HEADER = 'idempotency-first-sent';

/** The trailer with the expiry of the key, in RFC 3339. */
export const EXPIRES_TRAILER = 'idempotency-expires-at';

/** The trailer of a reply that an earlier execution stored. */
export const REPLAYED_TRAILER = 'idempotent-replayed';

/** Whether a metadata name is reserved for the guard. Handlers must not send such metadata. */
export function isGuardMetadata(name: string): boolean {
  return /^idempoten(t|cy)-/.test(name);
}

/** The `domain` of the ErrorInfo in every refusal of the guard (google.rpc.ErrorInfo, AIP-193). */
export const ERROR_DOMAIN = 'grpc-replay-guard';

const wellFormed = /^[A-Za-z0-9._~:/+=@-]{1,255}$/;

/** The valid form of a key, as a text for error messages. */
export const KEY_CHARACTERS = '1 to 255 characters out of A-Z a-z 0-9 . _ ~ : / + = @ -';

/** Whether a value is a valid idempotency key. Only text is valid: a number is not a key. */
export function isKey(value: unknown): value is string {
  return typeof value === 'string' && wellFormed.test(value);
}

const quoted = /^"(.*)"$/;

/**
 * Returns the key in a value of `idempotency-key` metadata: the value itself, or the text in double quotes. The HTTP draft of
 * the Idempotency-Key field writes a key in double quotes (a String of RFC 8941). Returns undefined if the value has no valid key.
 * An escape sequence is invalid: it could only stand for a quote or a backslash, which keys do not contain.
 */
export function keyIn(value: string): string | undefined {
  const key = quoted.exec(value)?.[1] ?? value;
  return isKey(key) ? key : undefined;
}

const decimal = /^(0|[1-9]\d{0,18})$/;
const MAX_SEQUENCE = 2n ** 63n - 1n;

/** The valid form of a sequence or an epoch, as a text for error messages. */
export const SEQUENCE_FORM = 'a whole number from 0 to 9223372036854775807, in digits without leading zeros';

/** Parses a sequence or an epoch. Returns undefined if the text has another form. */
export function toSequence(text: string): bigint | undefined {
  const number = decimal.test(text) ? BigInt(text) : undefined;
  return number !== undefined && number <= MAX_SEQUENCE ? number : undefined;
}
