import { assertKnownOptions } from '../options/known-options.js';
import { assertWholeNumber } from '../options/whole-number.js';

/** The options of `createRetryServiceConfig`. */
export interface RetryServiceConfigOptions {
  /** The full names of the services, `package.Service`. Default: every service of the channel. */
  readonly services?: readonly string[];
  /** The maximum number of attempts, including the first attempt: 2 to 5. Default: 5, the maximum of gRPC. */
  readonly maxAttempts?: number;
  /** The pause before the first retry, in milliseconds. Each later pause is twice as long. Default: 100. */
  readonly initialBackoffMs?: number;
  /** The maximum pause, in milliseconds. Default: 2,000. */
  readonly maxBackoffMs?: number;
}

/** A gRPC service config in its JSON form. */
export interface RetryServiceConfig {
  readonly methodConfig: readonly {
    readonly name: readonly { readonly service?: string }[];
    readonly retryPolicy: {
      readonly maxAttempts: number;
      readonly initialBackoff: string;
      readonly maxBackoff: string;
      readonly backoffMultiplier: number;
      readonly retryableStatusCodes: readonly string[];
    };
  }[];
}

/**
 * Returns a service config with which a gRPC client in any language retries as the contract requires: only
 * UNAVAILABLE, and after the pushback of the server (gRFC A6). In grpc-js the config is a channel option: `{
 * 'grpc.service_config': JSON.stringify(createRetryServiceConfig()) }`.
 * @throws TypeError when an option is unknown, or a number is out of its bounds
 */
export function createRetryServiceConfig(options: RetryServiceConfigOptions = {}): RetryServiceConfig {
  assertKnownOptions<RetryServiceConfigOptions>('createRetryServiceConfig', options, {
    services: true,
    maxAttempts: true,
    initialBackoffMs: true,
    maxBackoffMs: true,
  });
  const { services, maxAttempts = 5, initialBackoffMs = 100, maxBackoffMs = 2_000 } = options;
  assertWholeNumber('maxAttempts', maxAttempts, { min: 2, max: 5 });
  assertWholeNumber('initialBackoffMs', initialBackoffMs);
  assertWholeNumber('maxBackoffMs', maxBackoffMs);
  const retryPolicy = {
    maxAttempts,
    initialBackoff: `${initialBackoffMs / 1_000}s`,
    maxBackoff: `${maxBackoffMs / 1_000}s`,
    backoffMultiplier: 2,
    retryableStatusCodes: ['UNAVAILABLE'],
  };
  const name = services?.map((service) => ({ service })) ?? [{}];
  return { methodConfig: [{ name, retryPolicy }] };
}
