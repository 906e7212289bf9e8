import type { DestinationReport } from './report.js';

/**
 * One attempt, as observers receive it. Only `destination` and `type` have few enough values for metric
 * labels.
 */
export interface ObservedAttempt {
  readonly destination: string;
  readonly type: string;
  readonly aggregate: string;
  /** The number of the attempt, from 1 on. */
  readonly attempt: number;
}

/**
 * Receives the events of a relay. The methods must return quickly. An error of a method has no effect on deliveries.
 * The first error of each method becomes a process warning with the code `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface OutboxObserver {
  /** A relay was created that serves this destination. @param types the types of event that the destination receives */
  destinationServed(destination: string, types: readonly string[]): void;
  /** @param seconds the duration of the attempt */
  delivered(attempt: ObservedAttempt, seconds: number): void;
  /** @param retryInMs the pause before the next attempt; undefined if the event has become a dead letter */
  failed(attempt: ObservedAttempt, seconds: number, error: unknown, retryInMs: number | undefined): void;
  /**
   * An attempt ended after its lease. Another relay may have claimed the event, and the result of this attempt is not
   * recorded.
   */
  leaseLost(attempt: ObservedAttempt): void;
  /** A receiver ended its subscription. The relay stops sending to this receiver. */
  subscriptionEnded(destination: string, error: unknown): void;
  /** Called regularly for each destination of the relay. `closed` contains the current endpoint only. */
  reported(report: DestinationReport): void;
  /** @param count how many old events one statement deleted */
  purged(count: number): void;
  /** The database or the connection for wake-ups failed. The relay tries again. */
  errorOccurred(error: unknown): void;
  /** A part of the relay works again that has reported an error. */
  recovered(): void;
}

/** The names of all methods of the observer. */
export const outboxObserverMethods: { readonly [Name in keyof OutboxObserver]: true } = {
  destinationServed: true,
  delivered: true,
  failed: true,
  leaseLost: true,
  subscriptionEnded: true,
  reported: true,
  purged: true,
  errorOccurred: true,
  recovered: true,
};
