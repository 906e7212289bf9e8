import type { Descriptors } from '../descriptors/descriptor-set.js';
import type { MessageSchema } from '../descriptors/message-schema.js';
import { requestTypeOf } from '../descriptors/proto-loader.js';
import type { MethodPolicy } from '../policy/policy.js';
import { declaredPolicy, type MethodOptions } from '../policy/proto-option.js';

/** What the `.proto` says of a method. */
export interface ProtoMethod {
  /** Such a method is never guarded. */
  readonly hasNoSideEffects: boolean;
  readonly policy: Partial<MethodPolicy>;
  /** How its requests are written; undefined where nobody knows. */
  readonly request: MessageSchema | undefined;
}

interface DeclaredMethod {
  readonly path: string;
  readonly options?: MethodOptions;
}

/**
 * Reads what a method's definition carries, and the descriptors for what it does not: the definition is what the
 * handler is served by, so it wins, field by field.
 * @throws TypeError naming the method and the field of its policy that is unknown or mistyped
 */
export function readProtoMethod(method: DeclaredMethod, descriptors: Descriptors | undefined): ProtoMethod {
  const { path, options = {} } = method;
  const level = knownLevel(options.idempotency_level) ?? descriptors?.level(path);
  const byLevel = level === 'IDEMPOTENT' ? { key: 'OPTIONAL' as const } : {};
  return {
    hasNoSideEffects: level === 'NO_SIDE_EFFECTS',
    policy: { ...byLevel, ...descriptors?.policy(path), ...declaredPolicy(path, options) },
    request: requestTypeOf(method) ?? descriptors?.request(path),
  };
}

const knownLevel = (level?: string) => (level === 'IDEMPOTENCY_UNKNOWN' ? undefined : level);
