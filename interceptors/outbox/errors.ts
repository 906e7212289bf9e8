import { CodedError } from '../context/coded-error.js';
import { DatabaseUnavailableError } from '../database/errors.js';

/** No further attempt can deliver the event. The event becomes a dead letter at once. */
export class UndeliverableError extends CodedError {
  override name = 'UndeliverableError';
  static override readonly code: string = 'REPLAY_GUARD_UNDELIVERABLE';
}

/**
 * The receiver wants no further events. The relay stops sending until an operator reopens the destination.
 */
export class SubscriptionEndedError extends CodedError {
  override name = 'SubscriptionEndedError';
  static override readonly code: string = 'REPLAY_GUARD_SUBSCRIPTION_ENDED';
}

/**
 * The receiver asks for a pause before the next attempt. The relay waits at least this time, but not longer
 * than the `maxBackoffMs` of the destination.
 */
export class RetryLaterError extends CodedError {
  override name = 'RetryLaterError';
  static override readonly code: string = 'REPLAY_GUARD_RETRY_LATER';
  /** In milliseconds, at least 0. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The connection for wake-ups failed. The database may be available: the relay then finds the events of other processes by
 * polling.
 */
export class WakeUpsError extends DatabaseUnavailableError {
  override name = 'WakeUpsError';
  static override readonly code: string = 'REPLAY_GUARD_WAKE_UPS';
}
