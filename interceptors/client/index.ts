export { step } from '../execution/step.js';
export type { SendUnary } from './attempt.js';
export {
  createIdempotencyInterceptor,
  type IdempotencyInterceptorOptions,
} from './idempotency-interceptor.js';
export { type Intent, newIntent, withIdempotencyKey } from './intent.js';
export type { Done, Outcome, Refused, Unknown } from './outcome.js';
export { readMethodsOf } from './read-methods.js';
export {
  createRetryServiceConfig,
  type RetryServiceConfig,
  type RetryServiceConfigOptions,
} from './retry-service-config.js';
export type { SendClock, SendOptions } from './send-options.js';
export { sendUntilKnown } from './send-until-known.js';
export { type ProducerSequence, withSequence } from './sequence.js';
