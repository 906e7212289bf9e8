/** An event that no further attempt can deliver: it becomes a dead letter at once. */
export class UndeliverableError extends Error {
  override name = 'UndeliverableError';
}

/** The receiver wants no more events: nothing is sent to it any more, until an operator opens it again. */
export class SubscriptionEndedError extends Error {
  override name = 'SubscriptionEndedError';
}

/** The receiver asks for a pause before the next attempt, which is made no sooner, up to the destination's longest pause. */
export class RetryLaterError extends Error {
  override name = 'RetryLaterError';
  /** In milliseconds, at least 0. */
  readonly retryAfterMs: number;

  constructor(message: string, retryAfterMs: number, options?: ErrorOptions) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}
