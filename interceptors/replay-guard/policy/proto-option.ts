import { status } from '@grpc/grpc-js';
import protobuf, { type Enum, type Field } from 'protobufjs';
import { assertPolicy, type MethodPolicy } from './policy.js';
import { policyType } from './proto-message.js';

/** Names of a policy's fields in code, where they are not the same as in the `.proto`. */
const inCode: Readonly<Record<string, keyof MethodPolicy>> = {
  ...{ ttl: 'retentionMs', lease: 'leaseMs', wait: 'waitMs', max_execution: 'maxExecutionMs' },
  ...{ replayed_codes: 'replayedCodes', max_reply_bytes: 'maxReplyBytes', key_field: 'keyField' },
  ...{ reject_old_keys: 'rejectOldKeys', on_store_failure: 'onStoreFailure' },
  fingerprint_excludes: 'fingerprintExcludes',
};

/** Method options as @grpc/proto-loader gives them: custom ones untyped, under their names as written. */
export interface MethodOptions {
  readonly idempotency_level?: string;
  readonly [option: string]: unknown;
}

const ours = /^\(\.?replayguard\.v1\.policy\)$/;
/** A name that is ours within our own package only, or ours misspelt. */
const suspicious = /^\((v1\.)?policy\)|^\(\.?replayguard\b/i;

/** The policy that a method declares in the `.proto` it was loaded from. @throws TypeError as `policyFrom` */
export function declaredPolicy(method: string, options: MethodOptions): Partial<MethodPolicy> {
  const found = Object.entries(options).filter(([name]) => {
    if (ours.test(name)) return true;
    if (suspicious.test(name))
      throw new TypeError(`policy of ${method}: write option ${name} as (replayguard.v1.policy)`);
    return false;
  });
  return Object.assign({}, ...found.map(([, policy]) => policyFrom(method, policy)));
}

/**
 * A policy out of a message `replayguard.v1.MethodPolicy`, or of the text that stands for one.
 * @throws TypeError an unknown or mistyped field; the message names the method and the field
 */
export function policyFrom(method: string, message: unknown): Partial<MethodPolicy> {
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new TypeError(`policy of ${method}: the option is no message`);
  const fields = Object.entries(message).map(([name, value]) => {
    const field = policyType.fields[name];
    if (!field) throw new TypeError(`policy of ${method}: unknown field ${name}`);
    const read = field.repeated
      ? [value].flat().map((entry) => readValue(field, entry))
      : readValue(field, value);
    return read === unspecified ? {} : { [inCode[name] ?? name]: read };
  });
  const policy: Partial<MethodPolicy> = Object.assign({}, ...fields);
  assertPolicy(method, policy);
  return policy;
}

/** An enum's 0, which stands for the default. */
const unspecified = Symbol('unspecified');

/** What a field cannot hold becomes a value that the policy's rules refuse. */
function readValue(field: Field, value: unknown): unknown {
  const type = field.resolvedType;
  if (type instanceof protobuf.Enum) return constantOf(type, value);
  return type ? milliseconds(value) : value;
}

function constantOf(type: Enum, value: unknown): unknown {
  const number = typeof value === 'number' ? value : type.values[String(value)];
  const name = number === undefined ? undefined : type.valuesById[number];
  if (name === undefined) return undefined;
  if (type.name === 'ReplayedCode') return status[name.replace('REPLAYED_CODE_', '') as keyof typeof status];
  return number === 0 ? unspecified : name.slice((type.valuesById[0] as string).lastIndexOf('_') + 1);
}

function milliseconds(duration: unknown): number {
  if (typeof duration !== 'object' || duration === null) return Number.NaN;
  const { seconds = 0, nanos = 0, ...unknown } = duration as { seconds?: unknown; nanos?: unknown };
  const isValid = Number.isSafeInteger(seconds) && Number.isSafeInteger(nanos);
  if (!isValid || Math.abs(Number(nanos)) >= 1e9 || Object.keys(unknown).length > 0) return Number.NaN;
  return Number(seconds) * 1_000 + Math.round(Number(nanos) / 1e6);
}
