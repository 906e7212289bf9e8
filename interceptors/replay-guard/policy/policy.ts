import { status } from '@grpc/grpc-js';
import { assertRecord } from '../../options/known-options.js';
import { MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Atomicity } from '../../store/store.js';

/**
 * How the guard treats the calls of a method. OFF passes calls through unchanged. OBSERVE executes every call, and
 * counts the calls that ENFORCE would replay or refuse. ENFORCE executes each operation once.
 */
export type GuardMode = 'OFF' | 'OBSERVE' | 'ENFORCE';

/** The policy of one method. All durations are whole milliseconds. */
export interface MethodPolicy {
  /** Default: the mode of the guard. */
  readonly mode?: GuardMode;
  /**
   * Whether a call must have a key or a sequence. A call without a key and without a sequence is refused (REQUIRED)
   * or runs unguarded (OPTIONAL). Default: OPTIONAL for methods with `idempotency_level = IDEMPOTENT`, otherwise
   * REQUIRED.
   */
  readonly key: 'REQUIRED' | 'OPTIONAL';
  /**
   * The string field of the request that may hold the key (AIP-155), as a path such as `meta.request_id`. The
   * field is not part of the fingerprint. Default: none.
   */
  readonly keyField?: string;
  /** Whether the timestamp of a UUIDv7 key counts as the time of the first attempt. Default: false. */
  readonly rejectOldKeys: boolean;
  /**
   * Paths of request fields that may differ between attempts. These fields are not part of the fingerprint. Default:
   * none.
   */
  readonly fingerprintExcludes: readonly string[];
  /**
   * How long a record is kept, counted from the claim. At least 1,000 and at least `leaseMs`, at most 100 years.
   * Default: 24 hours.
   */
  readonly retentionMs: number;
  /** The writes that commit together with the reply, see `Atomicity`. Default: TRANSACTION. */
  readonly atomicity: Atomicity;
  /**
   * How long a claim is valid without a heartbeat. After this time, another call may take the execution over. From
   * 1,000 to 2^31 - 1. Default: 30 seconds.
   */
  readonly leaseMs: number;
  /** The maximum duration of an execution. From `leaseMs` to 2^31 - 1. Default: ten times `leaseMs`. */
  readonly maxExecutionMs: number;
  /**
   * How long a duplicate waits for the running execution, at most until its own deadline. From 0 to 2^31 - 1.
   * Default: 5 seconds.
   */
  readonly waitMs: number;
  /**
   * The failures that are stored and replayed. After any other failure a retry executes again. Default: NOT_FOUND,
   * ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE.
   */
  readonly replayedCodes: readonly status[];
  /**
   * The maximum size of a reply, in bytes. At least 1. The messages, the status message and the metadata count. Each
   * message counts 5 bytes more, and each entry of metadata 32 bytes more. Default: 1 MiB.
   */
  readonly maxReplyBytes: number;
  /**
   * The treatment of calls while the store is unavailable. REFUSE refuses these calls. EXECUTE runs these calls
   * unguarded. Default: REFUSE.
   */
  readonly onStoreFailure: 'REFUSE' | 'EXECUTE';
}

/** The policy of a method for which no policy is configured. */
export const defaultPolicy: MethodPolicy = {
  key: 'REQUIRED',
  rejectOldKeys: false,
  fingerprintExcludes: [],
  retentionMs: 24 * 60 * 60 * 1_000,
  atomicity: 'TRANSACTION',
  leaseMs: 30_000,
  maxExecutionMs: 300_000,
  waitMs: 5_000,
  replayedCodes: [status.NOT_FOUND, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE],
  maxReplyBytes: 1024 * 1024,
  onStoreFailure: 'REFUSE',
};

const LEASES_PER_EXECUTION = 10;
const MIN_RETENTION_MS = 1_000;
/**
 * 100 years. The expiry of a key must have a year of four digits, because RFC 3339 has no later time. This bound leaves
 * room for a clock that is wrong.
 */
const MAX_RETENTION_MS = 36_525 * 24 * 60 * 60 * 1_000;
const MIN_LEASE_MS = 1_000;

const integer =
  (min: number, max = Number.MAX_SAFE_INTEGER) =>
  (value: unknown) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;
const oneOf =
  (...allowed: unknown[]) =>
  (value: unknown) =>
    allowed.includes(value);
const unreplayable = [status.OK, status.CANCELLED, status.DEADLINE_EXCEEDED, status.UNAVAILABLE];
const isReplayable = (code: unknown) =>
  typeof code === 'number' && status[code] !== undefined && !unreplayable.includes(code);

/** Field names of a message, joined by dots. */
const path = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/;
const isPath = (value: unknown) => typeof value === 'string' && path.test(value);

/** The valid values of each field, as text for error messages and as a check. */
const rules: { [F in keyof Required<MethodPolicy>]: readonly [string, (value: unknown) => boolean] } = {
  mode: ['OFF, OBSERVE or ENFORCE', oneOf('OFF', 'OBSERVE', 'ENFORCE')],
  key: ['REQUIRED or OPTIONAL', oneOf('REQUIRED', 'OPTIONAL')],
  keyField: ['the name of a request field, or a path to one', isPath],
  rejectOldKeys: ['true or false', oneOf(true, false)],
  fingerprintExcludes: [
    'a list of request fields, or paths to them',
    (value) => Array.isArray(value) && value.every(isPath),
  ],
  retentionMs: [
    `a whole number of milliseconds, from ${MIN_RETENTION_MS} to ${MAX_RETENTION_MS} (100 years)`,
    integer(MIN_RETENTION_MS, MAX_RETENTION_MS),
  ],
  atomicity: ['TRANSACTION or LEASE', oneOf('TRANSACTION', 'LEASE')],
  leaseMs: [
    `a whole number of milliseconds, from ${MIN_LEASE_MS} to ${MAX_TIMER_MS}`,
    integer(MIN_LEASE_MS, MAX_TIMER_MS),
  ],
  maxExecutionMs: [
    `a whole number of milliseconds, from ${MIN_LEASE_MS} to ${MAX_TIMER_MS}`,
    integer(MIN_LEASE_MS, MAX_TIMER_MS),
  ],
  waitMs: [`a whole number of milliseconds, from 0 to ${MAX_TIMER_MS}`, integer(0, MAX_TIMER_MS)],
  replayedCodes: [
    'a list of status codes other than OK, CANCELLED, DEADLINE_EXCEEDED and UNAVAILABLE',
    (value) => Array.isArray(value) && value.every(isReplayable),
  ],
  maxReplyBytes: ['a whole number of bytes, at least 1', integer(1)],
  onStoreFailure: ['REFUSE or EXECUTE', oneOf('REFUSE', 'EXECUTE')],
};

/**
 * Returns the default policy, in which the fields of the layers replace the default fields. Later layers have
 * precedence. The result is frozen.
 * @throws TypeError if a field is unknown or invalid; the message names the method and the field
 */
export function resolvePolicy(method: string, ...layers: readonly Partial<MethodPolicy>[]): MethodPolicy {
  for (const layer of layers) assertPolicy(method, layer);
  const given: Partial<MethodPolicy> = Object.assign({}, ...layers);
  const leaseMs = given.leaseMs ?? defaultPolicy.leaseMs;
  const maxExecutionMs = Math.min(leaseMs * LEASES_PER_EXECUTION, MAX_TIMER_MS);
  const policy: MethodPolicy = { ...defaultPolicy, maxExecutionMs, ...given };
  for (const field of ['retentionMs', 'maxExecutionMs'] as const) {
    if (policy[field] >= policy.leaseMs) continue;
    const problem = `${field} (${policy[field]} ms) is shorter than leaseMs (${policy.leaseMs} ms)`;
    throw new TypeError(`policy of ${method}: ${problem}`);
  }
  return Object.freeze(policy);
}

/**
 * Checks the fields of a policy.
 * @throws TypeError if a field is unknown or invalid; the message names the method and the field
 */
export function assertPolicy(method: string, layer: Partial<MethodPolicy>): void {
  assertRecord(`policy of ${method}`, layer);
  for (const [field, value] of Object.entries(layer)) {
    if (!Object.hasOwn(rules, field)) {
      const fields = Object.keys(rules).join(', ');
      throw new TypeError(`policy of ${method}: unknown field ${field}; its fields are ${fields}`);
    }
    const [expected, isValid] = rules[field as keyof MethodPolicy];
    if (!isValid(value)) throw new TypeError(`policy of ${method}: ${field} must be ${expected}`);
  }
}
