import { assertWhole, LONGEST_MS } from '../replay-guard/whole-number.js';
import type { Delivery } from './event.js';

export interface RetryOptions {
  /** The longest pause after the first failed attempt, in milliseconds; it doubles with each. Default: 250. */
  readonly firstMs?: number;
  /** The longest pause of all, in milliseconds. Default: 60,000. */
  readonly longestMs?: number;
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
export interface Settled {
  readonly name: string;
  readonly deliveries: ReadonlyMap<string, Delivery>;
  readonly timeoutMs: number;
  readonly concurrency: number;
  readonly retry: Required<RetryOptions>;
  readonly endpoint: string;
}

/** @throws TypeError a number is not a whole one of at least 1 */
export function settle(name: string, destination: Destination): Settled {
  const { timeoutMs = 15_000, concurrency = 16, endpoint = '' } = destination;
  const { firstMs = 250, longestMs = 60_000, maxAttempts = 100 } = destination.retry ?? {};
  for (const [option, value] of Object.entries({ timeoutMs, concurrency, firstMs, longestMs, maxAttempts })) {
    assertWhole(`${option} of destination ${name}`, value, { most: LONGEST_MS });
  }
  const deliveries = new Map(Object.entries(destination.deliveries));
  return { name, deliveries, timeoutMs, concurrency, endpoint, retry: { firstMs, longestMs, maxAttempts } };
}
