/** The state of one destination. */
export interface DestinationReport {
  readonly destination: string;
  /** The number of events that wait or are being delivered. */
  readonly pending: number;
  /** The number of dead letters. */
  readonly dead: number;
  /** The age of the oldest pending event, in milliseconds. 0 if no event is pending. */
  readonly oldestMs: number;
  /** The subscriptions that receivers have ended, the oldest first. The relay sends nothing to these receivers. */
  readonly closed: readonly EndedSubscription[];
}

/** A subscription that a receiver has ended. */
export interface EndedSubscription {
  /** The `endpoint` that the destination had at that time. */
  readonly endpoint: string;
  readonly at: Date;
  readonly reason: string;
}

/**
 * An event that the relay has given up at a destination. The later events of its aggregate wait until the
 * dead letter is requeued or discarded.
 */
export interface DeadLetter {
  readonly eventId: string;
  readonly destination: string;
  readonly type: string;
  readonly aggregate: string;
  readonly attempts: number;
  /** The error of the last attempt, shortened. */
  readonly error: string;
  readonly appendedAt: Date;
  readonly deadAt: Date;
}
