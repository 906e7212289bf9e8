export interface RetryOptions {
  /** Full names of services, `package.Service`; every service of the channel where left out. */
  readonly services?: readonly string[];
  /** How often a call is sent at most, the first time included: 2 to 5. Default: 5, all that gRPC allows. */
  readonly maxAttempts?: number;
  /** The pause before the first retry, in milliseconds; each later one is twice as long. Default: 100. */
  readonly initialBackoffMs?: number;
  /** The longest pause, in milliseconds. Default: 2000. */
  readonly maxBackoffMs?: number;
}

/** A gRPC service config as it is written in JSON. */
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
 * The service config by which a gRPC client in any language retries what the contract says is to be retried:
 * UNAVAILABLE, after the pushback where the server sends one. For grpc-js it is a channel option:
 * `{ 'grpc.service_config': JSON.stringify(createRetryServiceConfig()) }`.
 * @throws TypeError a number is out of its bounds
 */
export function createRetryServiceConfig(options: RetryOptions = {}): RetryServiceConfig {
  const { services, maxAttempts = 5, initialBackoffMs = 100, maxBackoffMs = 2_000 } = options;
  if (!Number.isInteger(maxAttempts) || maxAttempts < 2 || maxAttempts > 5)
    throw new TypeError('maxAttempts must be a whole number from 2 to 5');
  const retryPolicy = {
    maxAttempts,
    initialBackoff: seconds('initialBackoffMs', initialBackoffMs),
    maxBackoff: seconds('maxBackoffMs', maxBackoffMs),
    backoffMultiplier: 2,
    retryableStatusCodes: ['UNAVAILABLE'],
  };
  const name = services?.map((service) => ({ service })) ?? [{}];
  return { methodConfig: [{ name, retryPolicy }] };
}

function seconds(option: string, ms: number): string {
  if (!Number.isInteger(ms) || ms < 1) throw new TypeError(`${option} must be a whole number of at least 1`);
  return `${ms / 1_000}s`;
}
