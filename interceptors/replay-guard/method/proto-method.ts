import type { DescriptorSet } from '../descriptors/descriptor-set.js';
import type { MessageSchema } from '../descriptors/message-schema.js';
import { requestSchemaOf } from '../descriptors/proto-loader.js';
import type { MethodPolicy } from '../policy/policy.js';
import { type MethodOptions, policyFromOptions } from '../policy/proto-option.js';

/** The declarations in a `.proto` file for one method. */
export interface ProtoMethod {
  /** Whether the method has `idempotency_level = NO_SIDE_EFFECTS`. Such a method is never guarded. */
  readonly hasNoSideEffects: boolean;
  /** The fields that the option `(replayguard.v1.policy)` sets. */
  readonly policy: Partial<MethodPolicy>;
  /** The schema of the request. Undefined if neither the definition nor the descriptor set has the schema. */
  readonly requestSchema: MessageSchema | undefined;
}

interface MethodWithOptions {
  readonly path: string;
  readonly options?: MethodOptions;
}

/**
 * Reads the declarations of a method from its definition and from the descriptor set. For each field, the definition
 * has precedence, because the server decodes requests with the definition.
 * @throws TypeError if a field of the policy is unknown or invalid; the message names the method and the field
 */
export function readProtoMethod(
  method: MethodWithOptions,
  descriptors: DescriptorSet | undefined,
): ProtoMethod {
  const { path, options = {} } = method;
  const level = knownLevel(options.idempotency_level) ?? descriptors?.idempotencyLevel(path);
  const policyOfLevel = level === 'IDEMPOTENT' ? { key: 'OPTIONAL' as const } : {};
  return {
    hasNoSideEffects: level === 'NO_SIDE_EFFECTS',
    policy: { ...policyOfLevel, ...descriptors?.policy(path), ...policyFromOptions(path, options) },
    requestSchema: requestSchemaOf(method) ?? descriptors?.requestSchema(path),
  };
}

const knownLevel = (level?: string) => (level === 'IDEMPOTENCY_UNKNOWN' ? undefined : level);
