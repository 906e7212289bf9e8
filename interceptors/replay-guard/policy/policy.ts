import { status } from '@grpc/grpc-js';
import { MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Atomicity } from '../../store/store.js';

/**
 * OFF leaves calls untouched; OBSERVE executes every call and counts what would have been replayed or
 * refused; ENFORCE executes each key once.
 */
export type GuardMode = 'OFF' | 'OBSERVE' | 'ENFORCE';

/** What the guard does with the calls of one method. Durations are milliseconds. */
export interface MethodPolicy {
  /** Absent where the method follows the guard's mode. */
  readonly mode?: GuardMode;
  /** Whether a call must carry a key or a sequence; without either an OPTIONAL method runs unguarded. */
  readonly key: 'REQUIRED' | 'OPTIONAL';
  /** The request field that holds the key where metadata carries none: a path such as `meta.request_id`. */
  readonly keyField?: string;
  /** Whether a UUIDv7 key is also refused by the age of its own timestamp. */
  readonly rejectOldKeys: boolean;
  /** Request fields, as paths, that may differ between the attempts of one operation. */
  readonly fingerprintExcludes: readonly string[];
  /** How long a key and its reply are retained, counted from the claim; at least the lease. */
  readonly retentionMs: number;
  readonly atomicity: Atomicity;
  /** How long an execution is trusted before another may take its key over; from 1,000 to 2^31 - 1. */
  readonly leaseMs: number;
  /** How long an execution may take, however often it renews its lease; at least the lease. Default: ten leases. */
  readonly maxExecutionMs: number;
  /** How long a duplicate waits for the first execution, never past its call's deadline. */
  readonly waitMs: number;
  /** Failures that are recorded and replayed; every other failure releases the key. */
  readonly replayedCodes: readonly status[];
  /** The largest response message that is kept, in bytes. */
  readonly maxReplyBytes: number;
  /** What becomes of calls while the store cannot be reached: EXECUTE runs them unguarded. */
  readonly onStoreFailure: 'REFUSE' | 'EXECUTE';
}

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

const integer =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (value: unknown) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
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

/** For each field what a valid value is, in words and in code. */
const rules: { [F in keyof Required<MethodPolicy>]: readonly [string, (value: unknown) => boolean] } = {
  mode: ['OFF, OBSERVE or ENFORCE', oneOf('OFF', 'OBSERVE', 'ENFORCE')],
  key: ['REQUIRED or OPTIONAL', oneOf('REQUIRED', 'OPTIONAL')],
  keyField: ['the name of a request field, or a path to one', isPath],
  rejectOldKeys: ['true or false', oneOf(true, false)],
  fingerprintExcludes: [
    'a list of request fields, or paths to them',
    (value) => Array.isArray(value) && value.every(isPath),
  ],
  retentionMs: ['a whole number of milliseconds, at least 1000', integer(1_000)],
  atomicity: ['TRANSACTION or LEASE', oneOf('TRANSACTION', 'LEASE')],
  leaseMs: [`a whole number of milliseconds, from 1000 to ${MAX_TIMER_MS}`, integer(1_000, MAX_TIMER_MS)],
  maxExecutionMs: [
    `a whole number of milliseconds, from 1000 to ${MAX_TIMER_MS}`,
    integer(1_000, MAX_TIMER_MS),
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
 * Puts layers of policy over the defaults; later layers win.
 * @throws TypeError an unknown or mistyped field; the message names the method and the field
 */
export function resolvePolicy(method: string, ...layers: readonly Partial<MethodPolicy>[]): MethodPolicy {
  for (const layer of layers) assertPolicy(method, layer);
  const given: Partial<MethodPolicy> = Object.assign({}, ...layers);
  const leaseMs = given.leaseMs ?? defaultPolicy.leaseMs;
  const longest = { maxExecutionMs: Math.min(leaseMs * LEASES_PER_EXECUTION, MAX_TIMER_MS) };
  const policy: MethodPolicy = { ...defaultPolicy, ...longest, ...given };
  for (const field of ['retentionMs', 'maxExecutionMs'] as const) {
    if (policy[field] >= policy.leaseMs) continue;
    const problem = `${field} (${policy[field]} ms) is shorter than leaseMs (${policy.leaseMs} ms)`;
    throw new TypeError(`policy of ${method}: ${problem}`);
  }
  return Object.freeze(policy);
}

/** @throws TypeError an unknown or mistyped field; the message names the method and the field */
export function assertPolicy(method: string, layer: Partial<MethodPolicy>): void {
  for (const [field, value] of Object.entries(layer)) {
    if (!Object.hasOwn(rules, field)) throw new TypeError(`policy of ${method}: unknown field ${field}`);
    const [expected, isValid] = rules[field as keyof MethodPolicy];
    if (!isValid(value)) throw new TypeError(`policy of ${method}: ${field} must be ${expected}`);
  }
}
