import { createHash, randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Claim, ClaimRequest, ClaimResult, FoundRecord } from 'grpc-replay-guard/store';

// The units are long, so that the real time of a test on a slow machine does not matter.
export const minute = 60_000;
export const hour = 60 * minute;

export const digest = (text: string) => createHash('sha256').update(text).digest();
export const reply = (text: string) => Buffer.from(text);

/** Returns a request for a new key with a lease of 10 minutes and a retention of one hour. */
export function request(changes: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    id: digest(randomUUID()),
    scope: 'tenant',
    fingerprint: digest('payload'),
    atomicity: 'LEASE',
    leaseMs: 10 * minute,
    retentionMs: hour,
    ...changes,
  };
}

/** Returns the claim of a result, or fails the test. */
export function claimed(t: ExecutionContext, result: ClaimResult): Claim {
  if (result.outcome !== 'claimed') return t.fail(`expected a claim, got ${result.outcome}`) as never;
  return result.claim;
}

/** Returns a result that is a completed record, or fails the test. */
export function completed(t: ExecutionContext, result: ClaimResult | FoundRecord | undefined) {
  if (result?.outcome !== 'completed') {
    return t.fail(`expected a reply, got ${result?.outcome}`) as never;
  }
  return result;
}

/** Returns a result that is a record in progress, or fails the test. */
export function inProgress(t: ExecutionContext, result: ClaimResult | FoundRecord | undefined) {
  if (result?.outcome !== 'in-progress') {
    return t.fail(`expected an execution, got ${result?.outcome}`) as never;
  }
  return result;
}
