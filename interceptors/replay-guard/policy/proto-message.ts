import { bool, int32, int64, message, optional, repeated, string } from '../../wire/fields.js';
import { type Field, MessageFormat } from '../../wire/message-format.js';

/** An enum of replayguard/v1/policy.proto. */
export interface PolicyEnum {
  readonly name: string;
  /** The beginning of the name of each value. */
  readonly prefix: string;
  /** The numbers by the rest of the names. */
  readonly values: ReadonlyMap<string, number>;
}

/** A field of `replayguard.v1.MethodPolicy`. */
export interface PolicyField {
  readonly number: number;
  readonly type: PolicyEnum | 'Duration' | 'int64' | 'string' | 'bool';
  readonly isList: boolean;
}

const enumOf = (name: string, prefix: string, values: Readonly<Record<string, number>>): PolicyEnum => ({
  ...{ name, prefix },
  values: new Map(Object.entries(values)),
});

const keyRequirement = enumOf('KeyRequirement', 'KEY_REQUIREMENT_', {
  ...{ UNSPECIFIED: 0, REQUIRED: 1, OPTIONAL: 2 },
});
const atomicity = enumOf('Atomicity', 'ATOMICITY_', { UNSPECIFIED: 0, TRANSACTION: 1, LEASE: 2 });
const mode = enumOf('Mode', 'MODE_', { UNSPECIFIED: 0, OFF: 1, ENFORCE: 2, OBSERVE: 3 });
const onStoreFailure = enumOf('OnStoreFailure', 'ON_STORE_FAILURE_', {
  ...{ UNSPECIFIED: 0, REFUSE: 1, EXECUTE: 2 },
});
const replayedCode = enumOf('ReplayedCode', 'REPLAYED_CODE_', {
  ...{
    UNSPECIFIED: 0,
    UNKNOWN: 2,
    INVALID_ARGUMENT: 3,
    NOT_FOUND: 5,
    ALREADY_EXISTS: 6,
    PERMISSION_DENIED: 7,
  },
  ...{ RESOURCE_EXHAUSTED: 8, FAILED_PRECONDITION: 9, ABORTED: 10, OUT_OF_RANGE: 11, UNIMPLEMENTED: 12 },
  ...{ INTERNAL: 13, DATA_LOSS: 15, UNAUTHENTICATED: 16 },
});

const field = (number: number, type: PolicyField['type']): PolicyField => ({ number, type, isList: false });
const list = (number: number, type: PolicyField['type']): PolicyField => ({ number, type, isList: true });

/** The fields of `replayguard.v1.MethodPolicy` by name, equal to its definition in replayguard/v1/policy.proto. */
export const policyFields: ReadonlyMap<string, PolicyField> = new Map([
  ['key', field(1, keyRequirement)],
  ['ttl', field(2, 'Duration')],
  ['atomicity', field(3, atomicity)],
  ['lease', field(4, 'Duration')],
  ['wait', field(5, 'Duration')],
  ['replayed_codes', list(6, replayedCode)],
  ['max_reply_bytes', field(7, 'int64')],
  ['mode', field(8, mode)],
  ['key_field', field(9, 'string')],
  ['reject_old_keys', field(10, 'bool')],
  ['on_store_failure', field(11, onStoreFailure)],
  ['fingerprint_excludes', list(12, 'string')],
  ['max_execution', field(13, 'Duration')],
]);

const duration = new MessageFormat({ seconds: int64(1), nanos: int32(2) });

function wireField({ number, type, isList }: PolicyField): Field<unknown> {
  if (type === 'Duration') return message(number, () => duration);
  const scalar: Field<unknown> = typeof type === 'object' ? int32(number) : scalars[type](number);
  return optional(isList ? repeated(scalar) : scalar);
}

const scalars = { int64, string, bool } as const;

/** Decodes a `replayguard.v1.MethodPolicy`. An enum is its number, a 64-bit integer is a number, an absent field undefined. */
export const policyFormat = new MessageFormat<Record<string, unknown>>(
  Object.fromEntries([...policyFields].map(([name, field]) => [name, wireField(field)])),
);
