import type { Metadata } from '@grpc/grpc-js';
import { warnOfRejection, warnOnce } from '../../logging/warn-once.js';
import type { CallOutcome, ObservedMethod } from '../observer.js';
import type { CallTrace, CallTracing, TracedEnd } from '../tracing.js';

/** The maximum length of a reference, in bytes. Each stored reply carries its reference. */
const MAX_REFERENCE_BYTES = 64;

/** Starts the traces of calls. Its errors, and the errors of the traces, have no effect on the calls. */
export class SafeTracing {
  readonly #tracing: CallTracing;
  readonly #warnings = new Map<string, (error: unknown) => void>();

  /** @throws TypeError if the tracing has no method `callStarted` */
  constructor(tracing: CallTracing) {
    if (typeof tracing?.callStarted !== 'function')
      throw new TypeError('tracing: callStarted must be a function');
    this.#tracing = tracing;
  }

  /** Returns the trace of a call. Undefined if the tracing has failed. */
  callStarted(method: ObservedMethod, metadata: Metadata): SafeTrace | undefined {
    try {
      const started = this.#tracing.callStarted(method, metadata);
      warnOfRejection(started, (error) => this.warn('callStarted', error));
      return new SafeTrace(started, this);
    } catch (error) {
      this.warn('callStarted', error);
      return undefined;
    }
  }

  /** Emits a process warning for the first error of each method. */
  warn(name: string, error: unknown): void {
    let warn = this.#warnings.get(name);
    if (!warn) {
      warn = warnOnce(name);
      this.#warnings.set(name, warn);
    }
    warn(error);
  }
}

/** The trace of a call. Its methods throw only the errors of the given work. */
export class SafeTrace implements CallTrace {
  readonly #trace: CallTrace;
  readonly #tracing: SafeTracing;
  #hasEnded = false;

  constructor(trace: CallTrace, tracing: SafeTracing) {
    this.#trace = trace;
    this.#tracing = tracing;
  }

  run<T>(work: () => T): T {
    return this.#around('run', work, (inner) => this.#trace.run(inner));
  }

  runHandler<T>(metadata: Metadata, handler: () => T): T {
    return this.#around('runHandler', handler, (inner) => this.#trace.runHandler(metadata, inner));
  }

  executionStarted(takenOver: boolean): void {
    this.#try('executionStarted', () => this.#trace.executionStarted(takenOver));
  }

  waitEnded(seconds: number): void {
    this.#try('waitEnded', () => this.#trace.waitEnded(seconds));
  }

  observed(wouldBe: CallOutcome): void {
    this.#try('observed', () => this.#trace.observed(wouldBe));
  }

  reference(): Buffer | undefined {
    const reference = this.#try('reference', () => this.#trace.reference());
    return reference && reference.length <= MAX_REFERENCE_BYTES ? reference : undefined;
  }

  /** Ends the trace. Only the first end counts. */
  ended(end: TracedEnd): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#try('ended', () => this.#trace.ended(end));
  }

  #try<T>(name: string, event: () => T): T | undefined {
    const warn = (error: unknown) => this.#tracing.warn(name, error);
    try {
      const result = event();
      warnOfRejection(result, warn);
      return result;
    } catch (error) {
      warn(error);
      return undefined;
    }
  }

  /** Runs the work exactly once, also if the trace fails before or after the work. */
  #around<T>(name: string, work: () => T, run: (inner: () => void) => void): T {
    let finish: (() => T) | undefined;
    this.#try(name, () => run(() => (finish ??= outcomeOf(work))));
    return (finish ?? outcomeOf(work))();
  }
}

/** Runs the work. Returns a function that returns its result or throws its error. */
function outcomeOf<T>(work: () => T): () => T {
  try {
    const result = work();
    return () => result;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
