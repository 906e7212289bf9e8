/** An event that no further attempt can deliver: it becomes a dead letter at once. */
export class UndeliverableError extends Error {
  override name = 'UndeliverableError';
}

/** The receiver wants no more events: nothing is sent to it any more, until an operator opens it again. */
export class SubscriptionEndedError extends Error {
  override name = 'SubscriptionEndedError';
}
