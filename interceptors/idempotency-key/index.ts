export { step } from '../replay-guard/step.js';
export type { SendUnary } from './attempt.js';
export { type IdempotencyKeyOptions, idempotencyKeys } from './idempotency-keys.js';
export { type Intent, newIntent, withIdempotencyKey } from './intent.js';
export type { Done, Outcome, Refused, Unknown } from './outcome.js';
export { readsOf } from './reads.js';
export { type RetryOptions, type RetryServiceConfig, retryServiceConfig } from './retry-service-config.js';
export type { SendClock, SendOptions } from './send-options.js';
export { sendUntilKnown } from './send-until-known.js';
