import { status } from '@grpc/grpc-js';
import type { ReplayGuard } from 'grpc-replay-guard';
import type { Log } from '../platform/log.js';

/** Returns the effective policy and the mode of each guarded method. Status codes are names. */
export function describePolicies(guard: ReplayGuard) {
  return guard.methods().map(({ path, mode, policy }) => ({
    method: path,
    ...policy,
    mode,
    replayedCodes: policy.replayedCodes.map((code) => status[code]),
  }));
}

/** Logs one line for each guarded method. */
export function logPolicies(guard: ReplayGuard, log: Log): void {
  for (const { method, ...policy } of describePolicies(guard)) log.info({ method, policy }, 'guarded');
}
