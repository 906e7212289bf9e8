import { createHash, randomUUID } from 'node:crypto';
import type { ExecutionContext } from 'ava';
import type { Claim, ClaimRequest, ClaimResult, FoundRecord } from 'grpc-replay-guard/store';

// Far apart, so that a slow machine does not blur them.
export const minute = 60_000;
export const hour = 60 * minute;

export const digest = (text: string) => createHash('sha256').update(text).digest();
export const reply = (text: string) => Buffer.from(text);

/** Asks for a key of its own: with a lease of 10 minutes, retained for an hour. */
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

export function claimed(t: ExecutionContext, result: ClaimResult): Claim {
  if (result.outcome !== 'claimed') return t.fail(`expected a claim, got ${result.outcome}`) as never;
  return result.claim;
}

/** The result, or what was found, where it is a completed record. */
export function completed(t: ExecutionContext, result: ClaimResult | FoundRecord | undefined) {
  if (result?.outcome !== 'completed') {
    return t.fail(`expected a reply, got ${result?.outcome}`) as never;
  }
  return result;
}

export function inProgress(t: ExecutionContext, result: ClaimResult | FoundRecord | undefined) {
  if (result?.outcome !== 'in-progress') {
    return t.fail(`expected an execution, got ${result?.outcome}`) as never;
  }
  return result;
}
