import { warnOfRejection, warnOnce } from '../logging/warn-once.js';
import type { DeliveryOutcome } from './observer.js';

/** The headers of a message, as brokers and HTTP servers give them. A tracing reads the trace context of the sender. */
export type MessageHeaders = Readonly<Record<string, unknown>>;

/** How a delivery ended. */
export interface TracedDelivery {
  readonly outcome: DeliveryOutcome;
  /** The error with which `processOnce` rejects. Undefined if it resolves. */
  readonly error?: unknown;
}

/**
 * Follows the deliveries of messages, for example with OpenTelemetry. An error of a method has no effect on deliveries. The
 * first error of each method becomes a process warning with the code `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface MessageTracing {
  /**
   * Starts one delivery in the trace of its message. Must call `process` synchronously.
   * @param consumer the `consumer` of the message name; its id and scope are never passed
   * @param headers the headers of the message; empty if the caller has passed none
   * @param process starts the delivery. Resolves when the delivery has ended, and never rejects
   */
  delivered(consumer: string, headers: MessageHeaders, process: () => Promise<TracedDelivery>): void;
}

/** The tracing of a consumer. Its errors have no effect on deliveries. */
export class SafeMessageTracing {
  readonly #tracing: MessageTracing;
  readonly #warn = warnOnce('delivered');

  /** @throws TypeError if the method of the tracing is missing */
  constructor(tracing: MessageTracing) {
    if (typeof tracing?.delivered !== 'function')
      throw new TypeError('tracing: delivered must be a function');
    this.#tracing = tracing;
  }

  /** Starts a delivery exactly once, and resolves or rejects as `process` does. */
  delivered<T extends TracedDelivery>(
    consumer: string,
    headers: MessageHeaders,
    process: () => Promise<T>,
    outcomeOf: (error: unknown) => DeliveryOutcome,
  ): Promise<T> {
    let started: Promise<T> | undefined;
    try {
      const tracked: unknown = this.#tracing.delivered(consumer, headers, () => {
        started ??= process();
        return started.then(
          ({ outcome }) => ({ outcome }),
          (error) => ({ outcome: outcomeOf(error), error }),
        );
      });
      warnOfRejection(tracked, this.#warn);
    } catch (error) {
      this.#warn(error);
    }
    return started ?? process();
  }
}
