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

/** A received request. */
export interface ReceivedRequest {
  /** The bytes for the method's own decoder. */
  readonly bytes: Buffer;
  /**
   * Returns the fingerprint, 32 bytes. Equal requests have equal fingerprints. Must be called before a handler can
   * change the decoded message.
   * @param message the decoded request
   * @throws Error if the request is malformed or nested too deeply
   */
  fingerprint(message: unknown): Buffer;
}

/** Reads the encoded requests of one method. */
export type RequestReader = (encoded: Buffer) => ReceivedRequest;

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
  return (bytes) => ({ bytes, fingerprint: (message) => sha256(canonicalObject(message, excluded)) });
}

function schemaReader(schema: MessageSchema, excluded: ExcludedFields): RequestReader {
  return (encoded) => {
    try {
      const { bytes, isUnambiguous } = canonicalForm(schema, encoded, excluded);
      const complete = () => (excluded.size === 0 ? bytes : canonicalForm(schema, encoded).bytes);
      // Decoders disagree on ambiguous bytes. For example, protobufjs does not merge messages. The decoder therefore
      // receives the canonical form, so that the handler and the fingerprint use the same message.
      return { bytes: isUnambiguous ? encoded : complete(), fingerprint: () => sha256(bytes) };
    } catch (error) {
      // The error is thrown only if the fingerprint is needed. An unguarded call does not need a fingerprint.
      return { bytes: encoded, fingerprint: () => fail(error) };
    }
  };
}

function fail(error: unknown): never {
  throw error;
}

function withName<T>(name: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new TypeError(`${name}: ${(cause as Error).message}`, { cause });
  }
}
