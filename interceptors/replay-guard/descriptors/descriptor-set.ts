import type { MethodPolicy } from '../policy/policy.js';
import { policyFormat } from '../policy/proto-message.js';
import { policyFromMessage } from '../policy/proto-option.js';
import { decodeFileSet } from './descriptor-messages.js';
import type { MessageSchema } from './message-schema.js';
import { MethodSchemas } from './method-schemas.js';

/** The names of google.protobuf.MethodOptions.IdempotencyLevel, by number. */
const idempotencyLevels = ['IDEMPOTENCY_UNKNOWN', 'NO_SIDE_EFFECTS', 'IDEMPOTENT'];

/** The method declarations in a FileDescriptorSet or a buf image. */
export class DescriptorSet {
  readonly #schemas: MethodSchemas;

  /** @throws TypeError if `bytes` is no Uint8Array, or not a FileDescriptorSet or a buf image */
  constructor(bytes: Uint8Array) {
    if (!(bytes instanceof Uint8Array))
      throw new TypeError('the descriptors must be bytes, such as readFileSync returns them');
    try {
      const files = decodeFileSet(bytes);
      if (files.length === 0) throw new TypeError('the set contains no file');
      this.#schemas = new MethodSchemas(files);
    } catch (cause) {
      const reason = cause instanceof TypeError ? `: ${cause.message}` : '';
      throw new TypeError(`the descriptors must be a FileDescriptorSet or a buf image${reason}`, { cause });
    }
  }

  /**
   * Returns the idempotency level of a method. Returns IDEMPOTENCY_UNKNOWN if the set does not contain the
   * method.
   */
  idempotencyLevel(path: string): string | undefined {
    return idempotencyLevels[this.#schemas.descriptor(path)?.options?.idempotencyLevel ?? 0];
  }

  /**
   * Returns the policy of a method. Returns no fields if the set does not contain the method.
   * @throws TypeError if a field of the policy is unknown or invalid
   */
  policy(path: string): Partial<MethodPolicy> {
    // An option that is set field by field is encoded in several parts. Their concatenation is one message.
    const option = Buffer.concat(this.#schemas.descriptor(path)?.options?.policy ?? []);
    // A field of a newer policy.proto has no effect in this version of the guard.
    const message = policyFormat.decode(option, (number) => {
      throw new TypeError(`policy of ${path}: unknown field number ${number}`);
    });
    return policyFromMessage(path, message);
  }

  /**
   * Returns the schema of a method's request. Returns undefined if the set does not contain the method.
   * @throws TypeError if the set does not contain all types of the request
   */
  requestSchema(path: string): MessageSchema | undefined {
    try {
      return this.#schemas.request(path);
    } catch (cause) {
      throw new TypeError(`the descriptors of ${path} are incomplete: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
}
