import { sha256 } from '../../store/record-id.js';
import type { MessageSchema } from '../descriptors/message-schema.js';
import type { MethodPolicy } from '../policy/policy.js';
import { canonicalForm } from './canonical-form.js';
import { canonicalObject } from './canonical-object.js';
import {
  assertKeyField,
  type ExcludedFields,
  excludedFieldsOf,
  type FieldNameTree,
  fieldNameTree,
} from './field-path.js';

/** A request that was read for the guard. */
export interface ReadRequest {
  /** 32 bytes. Equal requests have equal fingerprints. */
  readonly fingerprint: Buffer;
  /**
   * An encoding of the request that all decoders read alike, without unknown fields. Undefined if the received bytes are
   * such an encoding, or if the schema is unknown.
   */
  readonly unambiguous?: Buffer;
}

/**
 * Reads a request of one method. Must be called before a handler can change the decoded message.
 * @param encoded the received bytes
 * @param message the decoded request
 * @throws Error if the request is malformed or nested too deeply
 */
export type RequestReader = (encoded: Buffer, message: unknown) => ReadRequest;

/**
 * Returns the reader for the requests of a method. With a schema, the fingerprint is computed from the encoded
 * request. Without a schema, it is computed from the decoded request.
 * @param method the full method path, for error messages
 * @throws TypeError if the schema is known and a path in the policy is invalid
 */
export function requestReader(
  method: string,
  { keyField, fingerprintExcludes }: Pick<MethodPolicy, 'keyField' | 'fingerprintExcludes'>,
  schema: MessageSchema | undefined,
): RequestReader {
  const paths = keyField === undefined ? fingerprintExcludes : [...fingerprintExcludes, keyField];
  if (!schema) return objectReader(fieldNameTree(paths));
  const nameOf = (field: string) => `policy of ${method}: ${field}`;
  if (keyField !== undefined) withName(nameOf('keyField'), () => assertKeyField(schema, keyField));
  return schemaReader(
    schema,
    withName(nameOf('fingerprintExcludes'), () => excludedFieldsOf(schema, paths)),
  );
}

function objectReader(excluded: FieldNameTree): RequestReader {
  return (_encoded, message) => ({ fingerprint: sha256(canonicalObject(message, excluded)) });
}

function schemaReader(schema: MessageSchema, excluded: ExcludedFields): RequestReader {
  return (encoded) => {
    const { bytes, isUnambiguous } = canonicalForm(schema, encoded, excluded);
    const fingerprint = sha256(bytes);
    if (isUnambiguous) return { fingerprint };
    return {
      fingerprint,
      unambiguous: excluded.size === 0 ? bytes : canonicalForm(schema, encoded).bytes,
    };
  };
}

function withName<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new TypeError(`${name}: ${(cause as Error).message}`, { cause });
  }
}
