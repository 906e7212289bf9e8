import protobuf from 'protobufjs';
import type { MethodPolicy } from '../policy/policy.js';
import { policyType } from '../policy/proto-message.js';
import { policyFrom } from '../policy/proto-option.js';
import { decodeFileSet } from './descriptor-messages.js';
import type { MessageSchema } from './message-schema.js';
import { Schema } from './method-schemas.js';

/** google.protobuf.MethodOptions.IdempotencyLevel, by number. */
const levels = ['IDEMPOTENCY_UNKNOWN', 'NO_SIDE_EFFECTS', 'IDEMPOTENT'];

/** What a FileDescriptorSet or a buf image says of methods; undefined for those that it does not hold. */
export class Descriptors {
  readonly #schema: Schema;

  /** @throws TypeError the bytes are no descriptors */
  constructor(bytes: Uint8Array) {
    try {
      const files = decodeFileSet(bytes);
      if (files.length === 0) throw new TypeError('they hold no file');
      this.#schema = new Schema(files);
    } catch (cause) {
      const why = cause instanceof TypeError ? `: ${cause.message}` : '';
      throw new TypeError(`the descriptors are no FileDescriptorSet or buf image${why}`, { cause });
    }
  }

  level(path: string): string | undefined {
    return levels[this.#schema.method(path)?.options?.idempotencyLevel ?? 0];
  }

  /** @throws TypeError a field of the policy is unknown or invalid */
  policy(path: string): Partial<MethodPolicy> {
    const option = Buffer.concat(this.#schema.method(path)?.options?.policy ?? []);
    assertKnown(path, option);
    const message = policyType.toObject(policyType.decode(option), { longs: Number });
    return policyFrom(path, message);
  }

  /** @throws TypeError the request needs a type that the descriptors do not hold */
  request(path: string): MessageSchema | undefined {
    try {
      return this.#schema.request(path);
    } catch (cause) {
      throw new TypeError(`the descriptors of ${path} are incomplete: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
}

/** A newer policy.proto may have fields that this guard would not obey. */
function assertKnown(path: string, option: Uint8Array): void {
  const reader = protobuf.Reader.create(option);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (!policyType.fieldsById[tag >>> 3])
      throw new TypeError(`policy of ${path}: unknown field number ${tag >>> 3}`);
    reader.skipType(tag & 7);
  }
}
