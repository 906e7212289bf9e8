/** An event to be appended. */
export interface NewEvent {
  /** What happened, such as `order.placed`: one of the types that the outbox has a route for. */
  readonly type: string;
  /** What it happened to, 1 to 255 characters. At each destination its events come in their order. */
  readonly aggregate: string;
  /** A Uint8Array is kept as it is, everything else as JSON. */
  readonly payload: unknown;
}

/** Something that happened, as its receivers are told of it. */
export interface OutboxEvent {
  /** The same at every attempt and for every destination: what a receiver tells repetitions by. */
  readonly id: string;
  readonly type: string;
  readonly aggregate: string;
  /** What its JSON says; a Buffer where bytes were appended. */
  readonly payload: unknown;
  readonly appendedAt: Date;
}

/** One attempt at a delivery. */
export interface Attempt {
  /** Aborted when the attempt has taken too long, or the relay stops. */
  readonly signal: AbortSignal;
  /** 1 for the first. */
  readonly number: number;
  /** When the first attempt began, by the database's clock; the same for all of them. */
  readonly firstAt: Date;
}

/**
 * Delivers one event; the attempt counts as failed if it rejects. The same event may come again, so what it
 * does must be safe to repeat.
 * @throws UndeliverableError no further attempt could do better
 * @throws RetryLaterError the next attempt is to be made no sooner than it says
 * @throws SubscriptionEndedError the receiver wants no more events at all
 */
export type Delivery = (event: OutboxEvent, attempt: Attempt) => Promise<void>;
