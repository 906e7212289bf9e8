import type { DestinationReport } from './outbox.js';

/** One attempt, as observers are told of it. Of these only destination and type are fit for labels. */
export interface ObservedAttempt {
  readonly destination: string;
  readonly type: string;
  readonly aggregate: string;
  readonly attempt: number;
}

/** Is told what a relay does. Implementations must be quick and must not throw. */
export interface OutboxObserver {
  delivered(attempt: ObservedAttempt, seconds: number): void;
  /** @param retryInMs when the next attempt is; undefined where there will be none, and the event is a dead letter */
  failed(attempt: ObservedAttempt, seconds: number, error: unknown, retryInMs: number | undefined): void;
  /** An attempt ended after its lease: whoever claimed the event meanwhile decides what becomes of it. */
  leaseLost(attempt: ObservedAttempt): void;
  /** A receiver ended its subscription: nothing is sent to it any more. */
  subscriptionEnded(destination: string, error: unknown): void;
  /** Now and then, for each destination of the relay; `closed` tells of its own endpoint alone. */
  reported(report: DestinationReport): void;
  purged(count: number): void;
  /** The database or the connection for wake-ups failed; what could not be done is tried again. */
  troubled(error: unknown): void;
}

/** Every method of the observer. */
export const outboxObserverMethods: { readonly [Name in keyof OutboxObserver]: true } = {
  delivered: true,
  failed: true,
  leaseLost: true,
  subscriptionEnded: true,
  reported: true,
  purged: true,
  troubled: true,
};
