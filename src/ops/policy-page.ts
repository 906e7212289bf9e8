import { status } from '@grpc/grpc-js';
import type { ReplayGuard } from 'grpc-replay-guard';
import type { Log } from '../platform/log.js';

/** The guarded methods as operators read them: the effective policy and the mode of each. */
export function describePolicies(guard: ReplayGuard) {
  return guard.methods().map(({ path, mode, policy }) => ({
    method: path,
    ...policy,
    mode,
    replayedCodes: policy.replayedCodes.map((code) => status[code]),
  }));
}

/** One line for each guarded method. */
export function logPolicies(guard: ReplayGuard, log: Log): void {
  for (const { method, ...policy } of describePolicies(guard)) log.info({ method, policy }, 'guarded');
}
