import { type Metadata, status } from '@grpc/grpc-js';
import { isKey, KEY_CHARACTERS, KEY_HEADER } from '../../protocol/headers.js';
import { readField } from '../fingerprint/request-field.js';
import type { CallOutcome } from '../observer.js';
import { Refusal } from '../refusal/refusal.js';

/**
 * The call's idempotency key, or undefined where it carries none.
 * @param keyField the request field that may carry it as well, if the method has one
 * @throws Refusal IDEMPOTENCY_KEY_INVALID: empty, malformed, too long, sent more than once, or two keys
 */
export function readKey(metadata: Metadata, request: object, keyField?: string): string | undefined {
  const fromMetadata = keyInMetadata(metadata);
  const fromField = keyField === undefined ? undefined : keyInField(request, keyField);
  if (fromMetadata !== undefined && fromField !== undefined && fromMetadata !== fromField) {
    const description = `is not the key in the request's ${keyField}: send one of them, or the same in both`;
    throw invalid(KEY_HEADER, description);
  }
  return fromMetadata ?? fromField;
}

function keyInMetadata(metadata: Metadata): string | undefined {
  const values = metadata.get(KEY_HEADER);
  if (values.length === 0) return undefined;
  // Two headers of one name reach us joined by a comma, which no key may contain.
  const key = values.length === 1 ? String(values[0]) : '';
  if (!isKey(key)) throw invalid(KEY_HEADER, `must be sent exactly once, with ${KEY_CHARACTERS}`);
  return key;
}

/** A text field that is empty is one that was not set. */
function keyInField(request: object, keyField: string): string | undefined {
  const key = readField(request, keyField);
  if (key !== undefined && !isKey(key)) throw invalid(keyField, `must have ${KEY_CHARACTERS}`);
  return key;
}

/** @param keyField the request field that may carry the key, if the method has one */
export function missingKey(keyField?: string): Refusal {
  const description = 'is required: send one value per logical operation, the same on every attempt';
  const alternative = keyField === undefined ? '' : `, there or in the request's ${keyField}`;
  return badRequest('IDEMPOTENCY_KEY_MISSING', 'key_missing', KEY_HEADER, description + alternative);
}

/** @param field what is wrong: a name in the metadata, or a field of the request */
export function invalid(field: string, description: string): Refusal {
  return badRequest('IDEMPOTENCY_KEY_INVALID', 'key_invalid', field, description);
}

function badRequest(reason: string, outcome: CallOutcome, field: string, description: string): Refusal {
  return new Refusal(status.INVALID_ARGUMENT, reason, `${field} ${description}`, {
    outcome,
    details: [{ badRequest: { fieldViolations: [{ field, description }] } }],
  });
}
