import { type Metadata, status } from '@grpc/grpc-js';
import { Refusal } from './refusal.js';

/** The metadata name under which a client sends its key: one per logical operation. */
export const KEY_HEADER = 'idempotency-key';

const wellFormed = /^[A-Za-z0-9._~:/+=@-]{1,255}$/;

/**
 * The call's idempotency key, or undefined where it carries none.
 * @throws Refusal IDEMPOTENCY_KEY_INVALID: empty, malformed, too long, or sent more than once
 */
export function readKey(metadata: Metadata): string | undefined {
  const values = metadata.get(KEY_HEADER);
  if (values.length === 0) return undefined;
  // Two headers of one name reach us joined by a comma, which no key may contain.
  const key = values.length === 1 ? String(values[0]) : '';
  if (!wellFormed.test(key)) {
    throw invalidKey(
      'must be sent exactly once, with 1 to 255 characters out of A-Z a-z 0-9 . _ ~ : / + = @ -',
      'IDEMPOTENCY_KEY_INVALID',
      'key_invalid',
    );
  }
  return key;
}

export function missingKey(): Refusal {
  return invalidKey(
    'is required: send one value per logical operation, the same on every attempt',
    'IDEMPOTENCY_KEY_MISSING',
    'key_missing',
  );
}

function invalidKey(description: string, reason: string, outcome: 'key_invalid' | 'key_missing'): Refusal {
  return new Refusal(status.INVALID_ARGUMENT, reason, `metadata ${KEY_HEADER} ${description}`, {
    outcome,
    details: [{ badRequest: { fieldViolations: [{ field: KEY_HEADER, description }] } }],
  });
}
