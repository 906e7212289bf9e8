import { setTimeout as sleep } from 'node:timers/promises';
import type { Metadata } from '@grpc/grpc-js';
import { assertKnownOptions } from '../options/known-options.js';
import { MAX_TIMER_MS } from '../options/whole-number.js';
import type { Intent } from './intent.js';

/** The options of `sendUntilKnown`. */
export interface SendOptions {
  /**
   * The operation, if the caller keeps its key. Default: a new operation. Without `firstSent`, the retention of the
   * key is counted from now.
   */
  readonly intent?: Intent;
  /**
   * Whether an attempt may have been sent before this call. A refusal then does not prove that the operation was not
   * executed. Set the option if a hedging policy, an interceptor or a proxy may send an attempt several times.
   * Default: true if `intent` is given or inside a guarded call, else false.
   */
  readonly sentBefore?: boolean;
  /** Further metadata of every attempt. */
  readonly metadata?: Metadata;
  /** The maximum duration of one attempt, in milliseconds. Default: 10,000. */
  readonly attemptTimeoutMs?: number;
  /**
   * The maximum duration of all attempts and of the pauses between them, in milliseconds: at most 2^31 - 1.
   * Default: 60,000.
   */
  readonly retryBudgetMs?: number;
  /**
   * How long the server retains the key, in milliseconds. No attempt is made in the last tenth of this time, at most
   * five minutes. This margin covers the difference between the clocks of client and server. Default: 24 hours.
   */
  readonly retentionMs?: number;
  /** The maximum of the first pause, in milliseconds. The maximum doubles with each pause. Default: 100. */
  readonly initialBackoffMs?: number;
  /** The maximum of every pause, in milliseconds. The server may ask for a longer pause. Default: 5,000. */
  readonly maxBackoffMs?: number;
  /** Cancels the running attempt and prevents further attempts. */
  readonly signal?: AbortSignal;
  /** Returns a number from 0 to 1 that spreads the pauses. Default: `Math.random`. */
  readonly random?: () => number;
  /** The clock and the timer. Default: the clock and the timer of the system. */
  readonly clock?: SendClock;
}

/** The clock and the timer of `sendUntilKnown`. */
export interface SendClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after `ms` milliseconds. May reject when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
}

const systemClock: SendClock = {
  now: Date.now,
  wait: (ms, signal) => sleep(ms, undefined, signal && { signal }),
};

const defaults = {
  attemptTimeoutMs: 10_000,
  retryBudgetMs: 60_000,
  retentionMs: 24 * 60 * 60 * 1_000,
  initialBackoffMs: 100,
  maxBackoffMs: 5_000,
};

/** The options with every default filled in. */
export type CompleteOptions = SendOptions & typeof defaults & Required<Pick<SendOptions, 'random' | 'clock'>>;

/**
 * Checks the options and fills in the defaults. An option that is undefined receives its default.
 * @throws TypeError when an option is unknown, or a number is out of its bounds
 */
export function completeOptions(options: SendOptions): CompleteOptions {
  assertKnownOptions<SendOptions>('sendUntilKnown', options, {
    intent: true,
    sentBefore: true,
    metadata: true,
    attemptTimeoutMs: true,
    retryBudgetMs: true,
    retentionMs: true,
    initialBackoffMs: true,
    maxBackoffMs: true,
    signal: true,
    random: true,
    clock: true,
  });
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const complete: CompleteOptions = {
    ...defaults,
    random: Math.random,
    clock: systemClock,
    ...Object.fromEntries(given),
  };
  for (const name of Object.keys(defaults) as (keyof typeof defaults)[]) {
    // The retry budget bounds every pause and every attempt. Its maximum is the maximum of a Node timer.
    const max = name === 'retryBudgetMs' ? MAX_TIMER_MS : Number.MAX_SAFE_INTEGER;
    const value: unknown = complete[name];
    if (typeof value === 'number' && value > 0 && value <= max) continue;
    throw new TypeError(`${name} must be a number of milliseconds above 0 and up to ${max}, not ${value}`);
  }
  return complete;
}
