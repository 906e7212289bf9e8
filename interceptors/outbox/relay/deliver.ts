import { within } from '../../timing/timeout.js';
import type { ResolvedDestination } from '../destination/destination.js';
import { SubscriptionEndedError, UndeliverableError } from '../errors.js';
import type { ObservedAttempt, OutboxObserver } from '../observer.js';
import { decodePayload, type StoredPayload } from '../payload.js';
import type { SafeEventTracing, TraceHeaders } from '../tracing.js';
import type { ClaimedEvent, Queue } from './queue.js';
import { pauseAfter } from './retry-pause.js';

/** The options of a `Deliverer`. */
export interface DelivererOptions {
  /** The stored events. */
  readonly queue: Queue;
  /** The destination that receives the events. */
  readonly destination: ResolvedDestination;
  /** Receives the result of each attempt. */
  readonly observer: OutboxObserver;
  /** Makes each attempt part of the trace of its event. */
  readonly tracing: SafeEventTracing | undefined;
  /** Returns a number from 0 to 1 that spreads the retries. */
  readonly random: () => number;
  /** Called with the pause before the next attempt of an event, in milliseconds. */
  readonly onRetry: (inMs: number) => void;
}

/** Makes one attempt for each claimed event of a destination, and records the result. */
export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #attempts = new Set<AbortController>();
  #isAborted = false;

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  /** Resolves to whether the event was delivered and marked as delivered. Never rejects. */
  async deliver(claimed: ClaimedEvent): Promise<boolean> {
    const { queue, observer } = this.#options;
    const attempt = observed(claimed);
    const startedAt = performance.now();
    const seconds = () => (performance.now() - startedAt) / 1_000;
    try {
      const failure = await this.#failureOf(claimed);
      // The result of an aborted attempt is unknown. The event is claimed again when its lease expires.
      if (this.#isAborted && failure !== undefined) return false;
      const hadLease = failure
        ? await this.#recordFailure(claimed, failure.error, seconds())
        : await queue.markDelivered(claimed);
      if (!hadLease) observer.leaseLost(attempt);
      else if (!failure) observer.delivered(attempt, seconds());
      return hadLease && !failure;
    } catch (error) {
      // The event is not lost: a relay claims the event again when its lease expires.
      observer.errorOccurred(error);
      return false;
    }
  }

  /** Aborts all running attempts. */
  abort(): void {
    this.#isAborted = true;
    for (const attempt of this.#attempts) attempt.abort(new Error('the relay stops'));
  }

  async #failureOf(claimed: ClaimedEvent): Promise<{ error: unknown } | undefined> {
    try {
      await this.#attempt(claimed);
      return undefined;
    } catch (error) {
      return { error };
    }
  }

  async #attempt(claimed: ClaimedEvent): Promise<void> {
    const { attempt: number, firstAttemptAt: firstAt } = claimed;
    const { deliveries, timeoutMs, retry } = this.#options.destination;
    // The last attempt has no recorded result, because its process crashed or its lease expired.
    if (number > retry.maxAttempts) throw new UndeliverableError('no attempt recorded a result');
    const delivery = deliveries.get(claimed.event.type);
    if (!delivery) throw new Error(`no delivery for events of type ${claimed.event.type}`);
    const event = { ...claimed.event, payload: readPayload(claimed.payload) };
    const controller = new AbortController();
    const { signal } = controller;
    const timer = setTimeout(() => controller.abort(timeoutError(timeoutMs)), timeoutMs);
    const otherwise = () => {
      throw signal.reason;
    };
    this.#attempts.add(controller);
    try {
      // The relay does not wait for a delivery that ignores its signal.
      const attempt = (headers: TraceHeaders) =>
        within(delivery(event, { signal, number, firstAt, headers }), { signal, otherwise });
      const { tracing } = this.#options;
      await (tracing ? tracing.attempted(observed(claimed), claimed.trace, attempt) : attempt({}));
    } finally {
      clearTimeout(timer);
      this.#attempts.delete(controller);
    }
  }

  /** Resolves to whether this relay still had the lease of the event. */
  async #recordFailure(claimed: ClaimedEvent, error: unknown, seconds: number): Promise<boolean> {
    const { queue, destination, observer, random, onRetry } = this.#options;
    const { maxAttempts } = destination.retry;
    if (error instanceof SubscriptionEndedError) {
      if (await queue.close(destination, error.message)) observer.subscriptionEnded(destination.name, error);
      return queue.release(claimed);
    }
    const isLast = error instanceof UndeliverableError || claimed.attempt >= maxAttempts;
    const pauseMs = isLast ? undefined : pauseAfter(error, destination.retry, claimed.attempt, random());
    const hadLease = await (pauseMs === undefined
      ? queue.markDead(claimed, error)
      : queue.scheduleRetry(claimed, pauseMs, error));
    if (hadLease) observer.failed(observed(claimed), seconds, error, pauseMs);
    if (hadLease && pauseMs !== undefined) onRetry(pauseMs);
    return hadLease;
  }
}

/**
 * @throws UndeliverableError when the payload is not valid JSON; without a cause, because a JSON error quotes
 *   the payload
 */
function readPayload(stored: StoredPayload): unknown {
  try {
    return decodePayload(stored);
  } catch {
    throw new UndeliverableError('the stored payload is not valid JSON');
  }
}

function timeoutError(timeoutMs: number): DOMException {
  return new DOMException(`not delivered within ${timeoutMs} ms`, 'TimeoutError');
}

function observed({ event, destination, attempt }: ClaimedEvent): ObservedAttempt {
  return { destination, type: event.type, aggregate: event.aggregate, attempt };
}
