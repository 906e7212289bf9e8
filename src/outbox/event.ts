/** Something that happened, to be delivered at least once. */
export interface OutboxEvent {
  readonly eventId: string;
  /** What it happened to; the events of one aggregate are delivered in their order. */
  readonly aggregate: string;
  readonly type: string;
  readonly payload: unknown;
}

/** Delivers one event. The same event may come again, so what it does must be safe to repeat. */
export type Delivery = (event: OutboxEvent) => Promise<void>;

/** The delivery of each type of event. */
export type Deliveries = Readonly<Record<string, Delivery>>;
