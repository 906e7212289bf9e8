import { createHash } from 'node:crypto';
import type { MessageSchema } from '../descriptors/message-schema.js';
import type { MethodPolicy } from '../policy/policy.js';
import { canonicalForm, type ExcludedFields } from './canonical-form.js';
import { canonicalObject } from './canonical-object.js';
import { assertKeyField, excludedFieldsOf, type FieldNameTree, namesIn } from './field-path.js';

/** A request as it came over the wire. */
export interface ReceivedRequest {
  /** What the method's own codec is to decode. */
  readonly wire: Buffer;
  /**
   * 32 bytes, equal for equal requests. Taken once, before a handler can touch the message.
   * @throws Error the bytes are no request, or one that is nested too deep
   */
  fingerprint(message: unknown): Buffer;
}

export type RequestReader = (wire: Buffer) => ReceivedRequest;

/**
 * Reads the requests of a method by their schema where it is known, else as the objects that they are decoded to.
 * @throws TypeError the schema is known, and a path of the policy leads nowhere in it
 */
export function requestReader(
  method: string,
  { keyField, fingerprintExcludes }: Pick<MethodPolicy, 'keyField' | 'fingerprintExcludes'>,
  shape: MessageSchema | undefined,
): RequestReader {
  const paths = keyField === undefined ? fingerprintExcludes : [...fingerprintExcludes, keyField];
  if (!shape) return byStructure(namesIn(paths));
  const about = (field: string) => `policy of ${method}: ${field}`;
  if (keyField !== undefined) naming(about('keyField'), () => assertKeyField(shape, keyField));
  return bySchema(
    shape,
    naming(about('fingerprintExcludes'), () => excludedFieldsOf(shape, paths)),
  );
}

function byStructure(excluded: FieldNameTree): RequestReader {
  return (wire) => ({ wire, fingerprint: (message) => sha256(canonicalObject(message, excluded)) });
}

function bySchema(shape: MessageSchema, excluded: ExcludedFields): RequestReader {
  return (wire) => {
    try {
      const { bytes, regular } = canonicalForm(shape, wire, excluded);
      // Decoders differ about what is irregular (protobufjs does not merge): the handler gets what is fingerprinted.
      const whole = () => (excluded.size === 0 ? bytes : canonicalForm(shape, wire).bytes);
      return { wire: regular ? wire : whole(), fingerprint: () => sha256(bytes) };
    } catch (error) {
      // The codec may see nothing wrong, and the call may go unguarded.
      return { wire, fingerprint: () => fail(error) };
    }
  };
}

function fail(error: unknown): never {
  throw error;
}

function naming<T>(what: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new TypeError(`${what}: ${(cause as Error).message}`, { cause });
  }
}

function sha256(content: Uint8Array | string): Buffer {
  return createHash('sha256').update(content).digest();
}
