import { setTimeout as sleep } from 'node:timers/promises';
import type { Metadata } from '@grpc/grpc-js';
import type { Intent } from './intent.js';

export interface SendOptions {
  /**
   * The operation, where the caller keeps its key. Default: a new one. Without `firstSent` it counts as first sent
   * now, for the budget only.
   */
  readonly intent?: Intent;
  /**
   * Whether the intent may have been sent before this call, so that a refusal of this call's attempts says nothing
   * of the operation. To be given where something on the way may send an attempt several times: a hedging policy, an
   * interceptor, a proxy. Default: true where `intent` is given, and in a guarded call.
   */
  readonly sentBefore?: boolean;
  /** What else is sent with every attempt. */
  readonly metadata?: Metadata;
  /** How long one attempt may take, in milliseconds. Default: 10,000. */
  readonly attemptTimeoutMs?: number;
  /** How long all attempts and the pauses between them may take, in milliseconds. Default: 60,000. */
  readonly budgetMs?: number;
  /**
   * How long the server retains the key, in milliseconds. Nothing is sent in the last tenth of this time, or its
   * last five minutes if that is shorter: the clocks of client and server differ. Default: 24 hours.
   */
  readonly retentionMs?: number;
  /** The longest first pause, in milliseconds; each later one may be twice as long. Default: 100. */
  readonly initialBackoffMs?: number;
  /** The longest pause, where the server asks for no longer one, in milliseconds. Default: 5,000. */
  readonly maxBackoffMs?: number;
  /** Ends it: the attempt that is running is cancelled, and none follows. */
  readonly signal?: AbortSignal;
  /** From 0 to 1, spreads the pauses. Default: `Math.random`. */
  readonly random?: () => number;
  /** Default: the system's. */
  readonly clock?: SendClock;
}

/** What time is for `sendUntilKnown`. */
export interface SendClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Resolves after so many milliseconds; may reject when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>;
}

const systemClock: SendClock = {
  now: Date.now,
  wait: (ms, signal) => sleep(ms, undefined, signal && { signal }),
};

const defaults = {
  attemptTimeoutMs: 10_000,
  budgetMs: 60_000,
  retentionMs: 24 * 60 * 60 * 1_000,
  initialBackoffMs: 100,
  maxBackoffMs: 5_000,
};

/** Every option that has a default. */
export type CompleteOptions = SendOptions & typeof defaults & Required<Pick<SendOptions, 'random' | 'clock'>>;

/** @throws TypeError a number is none, or out of its bounds */
export function complete(options: SendOptions): CompleteOptions {
  // An option that is undefined is left out, whatever the caller's compiler thinks of it.
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const all: CompleteOptions = {
    ...defaults,
    random: Math.random,
    clock: systemClock,
    ...Object.fromEntries(given),
  };
  for (const name of Object.keys(defaults) as (keyof typeof defaults)[]) {
    // No pause and no attempt is longer than the budget, and that no longer than Node's timers can be.
    const most = name === 'budgetMs' ? 2 ** 31 - 1 : Number.MAX_SAFE_INTEGER;
    if (typeof all[name] === 'number' && all[name] > 0 && all[name] <= most) continue;
    throw new TypeError(`${name} must be a number of milliseconds above 0, and at most ${most}`);
  }
  return all;
}
