import { warnOfRejection, warnOnce } from '../logging/warn-once.js';
import type { ObservedAttempt } from './observer.js';

/** A trace context as headers, such as `traceparent`. */
export type TraceHeaders = Readonly<Record<string, string>>;

/**
 * Carries the trace of an append to the deliveries of its event, for example with OpenTelemetry. An error of a method has
 * no effect on events. The first error of each method becomes a process warning with the code
 * `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface EventTracing {
  /** Returns the trace context of an append. The outbox stores at most 1,024 characters. Undefined without a trace. */
  appended(): TraceHeaders | undefined;
  /**
   * Starts one attempt at a delivery in the trace of the event. Must call `deliver` synchronously.
   * @param headers what `appended` returned; empty if nothing was stored
   * @param deliver starts the attempt; takes the trace context that the receiver gets
   */
  attempted(
    attempt: ObservedAttempt,
    headers: TraceHeaders,
    deliver: (headers: TraceHeaders) => Promise<void>,
  ): void;
}

const MAX_CHARACTERS = 1_024;
const noHeaders: TraceHeaders = {};

/** The tracing of an outbox or a relay. Its errors have no effect on events. */
export class SafeEventTracing {
  readonly #tracing: EventTracing;
  readonly #warn = { appended: warnOnce('appended'), attempted: warnOnce('attempted') };

  /** @throws TypeError if a method of the tracing is missing */
  constructor(tracing: EventTracing) {
    for (const name of ['appended', 'attempted'] as const)
      if (typeof tracing?.[name] !== 'function') throw new TypeError(`tracing: ${name} must be a function`);
    this.#tracing = tracing;
  }

  /** Returns the trace context of an append in its stored form. */
  appended(): string | null {
    try {
      const headers = this.#tracing.appended();
      const text = headers && JSON.stringify(headers);
      return text !== undefined && text.length <= MAX_CHARACTERS ? text : null;
    } catch (error) {
      this.#warn.appended(error);
      return null;
    }
  }

  /** Starts an attempt exactly once, and resolves or rejects as the attempt does. */
  attempted(
    attempt: ObservedAttempt,
    stored: string | null,
    deliver: (headers: TraceHeaders) => Promise<void>,
  ): Promise<void> {
    let started: Promise<void> | undefined;
    try {
      const tracked: unknown = this.#tracing.attempted(attempt, headersFrom(stored), (headers) => {
        started ??= deliver(headers);
        return started;
      });
      warnOfRejection(tracked, this.#warn.attempted);
    } catch (error) {
      this.#warn.attempted(error);
    }
    return started ?? deliver(noHeaders);
  }
}

/** Returns no headers for a text that another program wrote. */
function headersFrom(stored: string | null): TraceHeaders {
  if (stored === null) return noHeaders;
  try {
    const entries = Object.entries(JSON.parse(stored) as object);
    return Object.fromEntries(entries.filter(([, value]) => typeof value === 'string'));
  } catch {
    return noHeaders;
  }
}
