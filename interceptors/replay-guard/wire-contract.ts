/** The metadata name under which a client sends its key: one per logical operation. */
export const KEY_HEADER = 'idempotency-key';

/** The metadata name under which a client may say when it first sent an operation, RFC 3339. */
export const FIRST_SENT_HEADER = 'idempotency-first-sent';

/** Until when the key is retained, RFC 3339. */
export const EXPIRES_TRAILER = 'idempotency-expires-at';

/** Present on a reply that an earlier execution stored. */
export const REPLAYED_TRAILER = 'idempotent-replayed';

/** The `domain` of the ErrorInfo in every answer that the guard itself gives. */
export const ERROR_DOMAIN = 'grpc-replay-guard';

const wellFormed = /^[A-Za-z0-9._~:/+=@-]{1,255}$/;

/** What `isKey` asks for, in words. */
export const KEY_CHARACTERS = '1 to 255 characters out of A-Z a-z 0-9 . _ ~ : / + = @ -';

/** Whether a text can be an idempotency key. */
export function isKey(text: string): boolean {
  return wellFormed.test(text);
}
