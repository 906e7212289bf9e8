import { status } from '@grpc/grpc-js';
import { assertPolicy, type MethodPolicy } from './policy.js';
import { type PolicyEnum, type PolicyField, policyFields } from './proto-message.js';

/** The policy fields whose name in code differs from the name in the `.proto` file. */
const namesInCode: Readonly<Record<string, keyof MethodPolicy>> = {
  ...{ ttl: 'retentionMs', lease: 'leaseMs', wait: 'waitMs', max_execution: 'maxExecutionMs' },
  ...{ replayed_codes: 'replayedCodes', max_reply_bytes: 'maxReplyBytes', key_field: 'keyField' },
  ...{ reject_old_keys: 'rejectOldKeys', on_store_failure: 'onStoreFailure' },
  fingerprint_excludes: 'fingerprintExcludes',
};

/**
 * The method options in a definition of @grpc/proto-loader. A custom option is untyped, and its name is the name in
 * the `.proto` file.
 */
export interface MethodOptions {
  /** The name of the idempotency level, such as `NO_SIDE_EFFECTS`. */
  readonly idempotency_level?: string;
  readonly [option: string]: unknown;
}

const policyOption = /^\(\.?replayguard\.v1\.policy\)$/;
/** Matches a misspelt option name, or a short name, which protoc resolves only in the packages of this library. */
const wrongPolicyOption = /^\((v1\.)?policy\)|^\(\.?replayguard\b/i;

/**
 * Reads the policy from the options of a method.
 * @throws TypeError if the option's name is misspelt, or if a field is unknown or invalid
 */
export function policyFromOptions(method: string, options: MethodOptions): Partial<MethodPolicy> {
  const found = Object.entries(options).filter(([name]) => {
    if (policyOption.test(name)) return true;
    if (wrongPolicyOption.test(name))
      throw new TypeError(`policy of ${method}: write option ${name} as (replayguard.v1.policy)`);
    return false;
  });
  return Object.assign({}, ...found.map(([, policy]) => policyFromMessage(method, policy)));
}

/**
 * Reads a policy from a decoded `replayguard.v1.MethodPolicy`, or from a message in proto-loader's untyped form.
 * @throws TypeError if a field is unknown or invalid; the message names the method and the field
 */
export function policyFromMessage(method: string, message: unknown): Partial<MethodPolicy> {
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new TypeError(`policy of ${method}: the option (replayguard.v1.policy) must be a message`);
  const fields = Object.entries(message).map(([name, value]) => {
    const field = policyFields.get(name);
    if (!field) throw new TypeError(`policy of ${method}: unknown field ${name}`);
    const read = field.isList
      ? [value].flat().map((entry) => readValue(field, entry))
      : readValue(field, value);
    return read === unspecified ? {} : { [namesInCode[name] ?? name]: read };
  });
  const policy: Partial<MethodPolicy> = Object.assign({}, ...fields);
  assertPolicy(method, policy);
  return policy;
}

/** Represents the value 0 of an enum. The policy field then has its default. */
const unspecified = Symbol('unspecified');

/** Returns a value that `assertPolicy` refuses if the field cannot hold the given value. */
function readValue({ type }: PolicyField, value: unknown): unknown {
  if (typeof type === 'object') return constantOf(type, value);
  return type === 'Duration' ? milliseconds(value) : value;
}

function constantOf({ name, prefix, values }: PolicyEnum, value: unknown): unknown {
  const constants = [...values].map(([constant, number]) => ({ constant, number }));
  const found = constants.find(
    ({ constant, number }) => number === value || prefix + constant === String(value),
  );
  if (!found) return undefined;
  if (name === 'ReplayedCode') return status[found.constant as keyof typeof status];
  return found.number === 0 ? unspecified : found.constant;
}

function milliseconds(duration: unknown): number {
  if (typeof duration !== 'object' || duration === null) return Number.NaN;
  const { seconds = 0, nanos = 0, ...unknown } = duration as { seconds?: unknown; nanos?: unknown };
  const isValid = Number.isSafeInteger(seconds) && Number.isSafeInteger(nanos);
  if (!isValid || Math.abs(Number(nanos)) >= 1e9 || Object.keys(unknown).length > 0) return Number.NaN;
  return Number(seconds) * 1_000 + Math.round(Number(nanos) / 1e6);
}
