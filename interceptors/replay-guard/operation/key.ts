import { type Metadata, status } from '@grpc/grpc-js';
import { isKey, KEY_CHARACTERS, KEY_HEADER, keyIn } from '../../protocol/headers.js';
import { REASONS, type Reason } from '../../protocol/reasons.js';
import { readField } from '../fingerprint/request-field.js';
import type { CallOutcome } from '../observer.js';
import { Refusal } from '../refusal/refusal.js';

/**
 * Reads the call's idempotency key. Returns undefined if the call has no key.
 * @param keyField the request field that may hold the key, if the method has such a field
 * @throws Refusal IDEMPOTENCY_KEY_INVALID if the key is malformed, if the metadata has several keys, or if metadata
 *   and request have different keys
 */
export function readKey(metadata: Metadata, request: object, keyField?: string): string | undefined {
  const fromMetadata = keyInMetadata(metadata);
  const fromField = keyField === undefined ? undefined : keyInField(request, keyField);
  if (fromMetadata !== undefined && fromField !== undefined && fromMetadata !== fromField) {
    const description = `differs from the key in the request's ${keyField}: send only one key, or the same key in both`;
    throw invalidName(KEY_HEADER, description);
  }
  return fromMetadata ?? fromField;
}

function keyInMetadata(metadata: Metadata): string | undefined {
  const values = metadata.get(KEY_HEADER);
  if (values.length === 0) return undefined;
  // grpc-js joins two headers of the same name with a comma, which a key must not contain.
  const key = values.length === 1 ? keyIn(String(values[0])) : undefined;
  if (key === undefined) throw invalidName(KEY_HEADER, `must be sent exactly once, with ${KEY_CHARACTERS}`);
  return key;
}

/** Returns the key in the request field. An empty text counts as absent. */
function keyInField(request: object, keyField: string): string | undefined {
  const key = readField(request, keyField);
  if (key !== undefined && !isKey(key)) throw invalidName(keyField, `must have ${KEY_CHARACTERS}`);
  return key;
}

/**
 * Returns the refusal of a call without a key, IDEMPOTENCY_KEY_MISSING.
 * @param keyField the request field that may hold the key, if the method has such a field
 */
export function missingKey(keyField?: string): Refusal {
  const description = 'is required: send one value per logical operation, the same on every attempt';
  const alternative = keyField === undefined ? '' : `, there or in the request's ${keyField}`;
  return badRequest(REASONS.KEY_MISSING, 'key_missing', KEY_HEADER, description + alternative);
}

/**
 * Returns the refusal of a call whose key, sequence or first-sent time is invalid, IDEMPOTENCY_KEY_INVALID.
 * @param field the invalid metadata entry or request field
 */
export function invalidName(field: string, description: string): Refusal {
  return badRequest(REASONS.KEY_INVALID, 'key_invalid', field, description);
}

function badRequest(reason: Reason, outcome: CallOutcome, field: string, description: string): Refusal {
  return new Refusal(status.INVALID_ARGUMENT, reason, `${field} ${description}`, {
    outcome,
    details: [{ badRequest: { fieldViolations: [{ field, description }] } }],
  });
}
