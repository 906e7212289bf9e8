import { assertKnownOptions } from '../../options/known-options.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Delivery } from '../event.js';

/** When a destination retries a failed attempt. */
export interface RetryOptions {
  /**
   * The maximum pause after the first failed attempt, in milliseconds. The maximum doubles each time.
   * Default: 250.
   */
  readonly initialBackoffMs?: number;
  /** The maximum of every pause, in milliseconds. Default: 60,000. */
  readonly maxBackoffMs?: number;
  /** The number of attempts after which an event becomes a dead letter. Default: 100. */
  readonly maxAttempts?: number;
}

/** A receiver of events. Each destination progresses independently of the others. */
export interface Destination {
  /** The delivery of each type of event, by type. */
  readonly deliveries: Readonly<Record<string, Delivery>>;
  /** The time limit of an attempt, in milliseconds. Default: 15,000. */
  readonly timeoutMs?: number;
  /** The maximum number of events that one relay delivers at the same time. Default: 16. */
  readonly concurrency?: number;
  readonly retry?: RetryOptions;
  /**
   * Identifies the receiver. An ended subscription applies to one endpoint of a destination only. Default:
   * ''.
   */
  readonly endpoint?: string;
}

/** A checked destination with all defaults filled in. */
export interface ResolvedDestination {
  readonly name: string;
  readonly deliveries: ReadonlyMap<string, Delivery>;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly retry: Required<RetryOptions>;
  readonly endpoint: string;
}

/**
 * Checks a destination and fills in the defaults.
 * @throws TypeError when an option is unknown, or a number is not a whole number of at least 1
 */
export function resolveDestination(name: string, destination: Destination): ResolvedDestination {
  assertKnownOptions<Destination>(`destination ${name}`, destination, {
    deliveries: true,
    timeoutMs: true,
    concurrency: true,
    retry: true,
    endpoint: true,
  });
  const { timeoutMs = 15_000, concurrency = 16, endpoint = '', retry = {} } = destination;
  assertKnownOptions<RetryOptions>(`retry of destination ${name}`, retry, {
    initialBackoffMs: true,
    maxBackoffMs: true,
    maxAttempts: true,
  });
  const { initialBackoffMs = 250, maxBackoffMs = 60_000, maxAttempts = 100 } = retry;
  const numbers = { timeoutMs, concurrency, initialBackoffMs, maxBackoffMs, maxAttempts };
  for (const [option, value] of Object.entries(numbers)) {
    assertWholeNumber(`${option} of destination ${name}`, value, { max: MAX_TIMER_MS });
  }
  return {
    name,
    deliveries: new Map(Object.entries(destination.deliveries)),
    timeoutMs,
    concurrency,
    endpoint,
    retry: { initialBackoffMs, maxBackoffMs, maxAttempts },
  };
}
