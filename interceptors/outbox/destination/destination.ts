import { assertWholeNumber, MAX_TIMER_MS } from '../../options/whole-number.js';
import type { Delivery } from '../event.js';

export interface RetryOptions {
  /** The longest pause after the first failed attempt, in milliseconds; it doubles with each. Default: 250. */
  readonly initialBackoffMs?: number;
  /** The longest pause of all, in milliseconds. Default: 60,000. */
  readonly maxBackoffMs?: number;
  /** After so many attempts an event becomes a dead letter. Default: 100. */
  readonly maxAttempts?: number;
}

/** Where events are delivered to. What happens at one destination holds up no other. */
export interface Destination {
  /** By type of event. */
  readonly deliveries: Readonly<Record<string, Delivery>>;
  /** How long an attempt may take, in milliseconds. Default: 15,000. */
  readonly timeoutMs?: number;
  /** Most events that one relay delivers at once. Default: 16. */
  readonly concurrency?: number;
  readonly retry?: RetryOptions;
  /** Names what stands behind the destination: another one is another subscription. Default: ''. */
  readonly endpoint?: string;
}

/** A destination with everything decided. */
export interface ResolvedDestination {
  readonly name: string;
  readonly deliveries: ReadonlyMap<string, Delivery>;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly retry: Required<RetryOptions>;
  readonly endpoint: string;
}

/** @throws TypeError a number is not a whole one of at least 1 */
export function settle(name: string, destination: Destination): ResolvedDestination {
  const { timeoutMs = 15_000, concurrency = 16, endpoint = '' } = destination;
  const { initialBackoffMs = 250, maxBackoffMs = 60_000, maxAttempts = 100 } = destination.retry ?? {};
  for (const [option, value] of Object.entries({
    timeoutMs,
    concurrency,
    initialBackoffMs,
    maxBackoffMs,
    maxAttempts,
  })) {
    assertWholeNumber(`${option} of destination ${name}`, value, { max: MAX_TIMER_MS });
  }
  const deliveries = new Map(Object.entries(destination.deliveries));
  return {
    name,
    deliveries,
    timeoutMs,
    concurrency,
    endpoint,
    retry: { initialBackoffMs, maxBackoffMs, maxAttempts },
  };
}
