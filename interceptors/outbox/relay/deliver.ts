import type { ResolvedDestination } from '../destination/destination.js';
import { SubscriptionEndedError, UndeliverableError } from '../errors.js';
import type { ObservedAttempt, OutboxObserver } from '../observer.js';
import { decodePayload, type StoredPayload } from '../payload.js';
import type { Claimed, Queue } from './queue.js';
import { pauseAfter } from './retry-pause.js';

export interface DelivererOptions {
  readonly queue: Queue;
  readonly destination: ResolvedDestination;
  readonly observer: OutboxObserver;
  /** From 0 to 1, spreads the retries. */
  readonly random: () => number;
  /** Told when an event comes due again. */
  readonly onRetry: (inMs: number) => void;
}

/** Brings claimed events to a destination, one attempt each, and notes how it went. */
export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #limits = new Set<AbortController>();
  #stopped = false;

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  /** Whether the event was delivered and marked. Never rejects. */
  async deliver(claimed: Claimed): Promise<boolean> {
    const { queue, observer } = this.#options;
    const seen = observed(claimed);
    const since = performance.now();
    const seconds = () => (performance.now() - since) / 1000;
    try {
      const failure = await this.#failureOf(claimed);
      // What was cut off may have been delivered or not: its lease runs out, and the next relay tries again.
      if (this.#stopped && failure !== undefined) return false;
      const kept = failure
        ? await this.#settle(claimed, failure.error, seconds())
        : await queue.delivered(claimed);
      if (!kept) observer.leaseLost(seen);
      else if (!failure) observer.delivered(seen, seconds());
      return kept && !failure;
    } catch (error) {
      // Nothing is lost: the event is due again when its lease has run out.
      observer.troubled(error);
      return false;
    }
  }

  /** Cuts the attempts that are running off. */
  abort(): void {
    this.#stopped = true;
    for (const limit of this.#limits) limit.abort(new Error('the relay stops'));
  }

  async #failureOf(claimed: Claimed): Promise<{ error: unknown } | undefined> {
    try {
      await this.#attempt(claimed);
      return undefined;
    } catch (error) {
      return { error };
    }
  }

  async #attempt({
    event: head,
    payload: stored,
    attempt: number,
    firstAttemptAt: firstAt,
  }: Claimed): Promise<void> {
    const { deliveries, timeoutMs, retry } = this.#options.destination;
    // It ended the process, or outlasted its lease, each time that it was tried.
    if (number > retry.maxAttempts) throw new UndeliverableError('none of its attempts came to an end');
    const delivery = deliveries.get(head.type);
    if (!delivery) throw new Error(`no delivery for events of type ${head.type}`);
    const event = { ...head, payload: readPayload(stored) };
    const limit = new AbortController();
    const late = new DOMException(`not delivered within ${timeoutMs} ms`, 'TimeoutError');
    const timer = setTimeout(() => limit.abort(late), timeoutMs);
    this.#limits.add(limit);
    try {
      await untilAborted(delivery(event, { signal: limit.signal, number, firstAt }), limit.signal);
    } finally {
      clearTimeout(timer);
      this.#limits.delete(limit);
    }
  }

  /** Whether the event was still ours. */
  async #settle(claimed: Claimed, error: unknown, seconds: number): Promise<boolean> {
    const { queue, destination, observer, random, onRetry } = this.#options;
    const { maxAttempts } = destination.retry;
    if (error instanceof SubscriptionEndedError) {
      if (await queue.close(destination, error.message)) observer.subscriptionEnded(destination.name, error);
      return queue.giveBack(claimed);
    }
    const isLast = error instanceof UndeliverableError || claimed.attempt >= maxAttempts;
    const pauseMs = isLast ? undefined : pauseAfter(error, destination.retry, claimed.attempt, random());
    const kept = await (pauseMs === undefined
      ? queue.bury(claimed, error)
      : queue.retry(claimed, pauseMs, error));
    if (kept) observer.failed(observed(claimed), seconds, error, pauseMs);
    if (kept && pauseMs !== undefined) onRetry(pauseMs);
    return kept;
  }
}

/** @throws UndeliverableError without the cause, which quotes what it could not read */
function readPayload(stored: StoredPayload): unknown {
  try {
    return decodePayload(stored);
  } catch {
    throw new UndeliverableError('its payload cannot be read');
  }
}

/** A delivery that does not heed its signal is not waited for. */
async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  await Promise.race([work, aborted]);
}

function observed({ event, destination, attempt }: Claimed): ObservedAttempt {
  return { destination, type: event.type, aggregate: event.aggregate, attempt };
}
