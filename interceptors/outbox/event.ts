/** An event to append. */
export interface NewEvent {
  /** The type of the event, such as `order.placed`. The outbox must have a route for this type. */
  readonly type: string;
  /**
   * The id of the object that the event is about, 1 to 255 characters. Each destination receives the events of one
   * aggregate in the order of their appends.
   */
  readonly aggregate: string;
  /** A Uint8Array is stored unchanged. Any other value is stored as JSON. */
  readonly payload: unknown;
}

/** An event as a delivery receives it. */
export interface OutboxEvent {
  /** A UUIDv7, equal in every attempt and at every destination. Receivers recognize duplicates by the id. */
  readonly id: string;
  readonly type: string;
  readonly aggregate: string;
  /** The value of the stored JSON, or a Buffer if bytes were appended. */
  readonly payload: unknown;
  readonly appendedAt: Date;
}

/** One attempt at a delivery. */
export interface Attempt {
  /** Aborted when the attempt exceeds its time limit, or when the relay stops. */
  readonly signal: AbortSignal;
  /** The number of the attempt, from 1 on. */
  readonly number: number;
  /** When the first attempt began, by the clock of the database. Equal in every attempt. */
  readonly firstAt: Date;
  /**
   * The trace context for the receiver, such as `traceparent`. Empty if the relay has no tracing. Send these headers with
   * the event, unless the client library of the delivery sends the trace context itself.
   */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Delivers one event. The attempt has failed if the promise rejects. An event may be delivered several times,
 * so the effect of a delivery must be safe to repeat.
 * @throws UndeliverableError when no further attempt can succeed
 * @throws RetryLaterError when the next attempt must wait at least the given time
 * @throws SubscriptionEndedError when the receiver wants no further events
 */
export type Delivery = (event: OutboxEvent, attempt: Attempt) => Promise<void>;
