export { step } from '../execution/step.js';
export type { SendUnary } from './attempt.js';
export { createIdempotencyInterceptor, type IdempotencyKeyOptions } from './idempotency-keys.js';
export { type Intent, newIntent, withIdempotencyKey } from './intent.js';
export type { Done, Outcome, Refused, Unknown } from './outcome.js';
export { readMethodsOf } from './read-methods.js';
export {
  createRetryServiceConfig,
  type RetryOptions,
  type RetryServiceConfig,
} from './retry-service-config.js';
export type { SendClock, SendOptions } from './send-options.js';
export { sendUntilKnown } from './send-until-known.js';
export { type ProducerSequence, withSequence } from './sequence.js';
