import { status } from '@grpc/grpc-js';
import type { Atomicity } from './stores/store.js';

export type GuardMode = 'OFF' | 'ENFORCE';

/** What the guard does with the calls of one method. Durations are milliseconds. */
export interface MethodPolicy {
  /** OFF leaves the method's calls untouched. Default: the guard's mode. */
  readonly mode: GuardMode;
  /** Whether a call must carry a key; without one an OPTIONAL method runs unguarded. */
  readonly key: 'REQUIRED' | 'OPTIONAL';
  /** How long a key and its reply are retained, counted from the claim; at least the lease. */
  readonly ttlMs: number;
  readonly atomicity: Atomicity;
  /** How long an execution is trusted before another may take its key over; from 1,000 to 2^31 - 1. */
  readonly leaseMs: number;
  /** How long a duplicate waits for the first execution, never past its call's deadline. */
  readonly waitMs: number;
  /** Failures that are recorded and replayed; every other failure releases the key. */
  readonly replayedCodes: readonly status[];
  /** The largest response message that is kept, in bytes. */
  readonly maxReplyBytes: number;
}

export const defaultPolicy: MethodPolicy = {
  mode: 'ENFORCE',
  key: 'REQUIRED',
  ttlMs: 24 * 60 * 60 * 1_000,
  atomicity: 'TRANSACTION',
  leaseMs: 30_000,
  waitMs: 5_000,
  replayedCodes: [status.NOT_FOUND, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE],
  maxReplyBytes: 1024 * 1024,
};

/** The longest that a timer of Node can wait. */
const LONGEST_MS = 2 ** 31 - 1;

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

/** For each field what a valid value is, in words and in code. */
const rules: { [F in keyof MethodPolicy]: readonly [string, (value: unknown) => boolean] } = {
  mode: ['OFF or ENFORCE', oneOf('OFF', 'ENFORCE')],
  key: ['REQUIRED or OPTIONAL', oneOf('REQUIRED', 'OPTIONAL')],
  ttlMs: ['a whole number of milliseconds, at least 1000', integer(1_000)],
  atomicity: ['TRANSACTION or LEASE', oneOf('TRANSACTION', 'LEASE')],
  leaseMs: [`a whole number of milliseconds, from 1000 to ${LONGEST_MS}`, integer(1_000, LONGEST_MS)],
  waitMs: [`a whole number of milliseconds, from 0 to ${LONGEST_MS}`, integer(0, LONGEST_MS)],
  replayedCodes: [
    'a list of status codes other than OK, CANCELLED, DEADLINE_EXCEEDED and UNAVAILABLE',
    (value) => Array.isArray(value) && value.every(isReplayable),
  ],
  maxReplyBytes: ['a whole number of bytes, at least 1', integer(1)],
};

/**
 * Puts layers of policy over the defaults; later layers win.
 * @throws TypeError an unknown or mistyped field; the message names the method and the field
 */
export function resolvePolicy(method: string, ...layers: readonly Partial<MethodPolicy>[]): MethodPolicy {
  for (const layer of layers) assertValid(method, layer);
  const policy: MethodPolicy = Object.assign({}, defaultPolicy, ...layers);
  if (policy.ttlMs < policy.leaseMs) {
    throw new TypeError(
      `policy of ${method}: ttl (${policy.ttlMs} ms) is shorter than lease (${policy.leaseMs} ms)`,
    );
  }
  return Object.freeze(policy);
}

function assertValid(method: string, layer: Partial<MethodPolicy>): void {
  for (const [field, value] of Object.entries(layer)) {
    if (!Object.hasOwn(rules, field)) throw new TypeError(`policy of ${method}: unknown field ${field}`);
    const [expected, isValid] = rules[field as keyof MethodPolicy];
    if (!isValid(value)) throw new TypeError(`policy of ${method}: ${field} must be ${expected}`);
  }
}
