import type { Metadata } from '@grpc/grpc-js';
import type { CallOutcome, ObservedMethod } from './observer.js';

/**
 * Follows single calls, for example with OpenTelemetry. The guard calls the methods synchronously, so they must return
 * quickly. An error of a method has no effect on the call. The first error of each method becomes a process warning with
 * the code `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface CallTracing {
  /**
   * The whole request of a guarded call has arrived.
   * @param metadata the metadata of the caller, which contains its trace context
   */
  callStarted(method: ObservedMethod, metadata: Metadata): CallTrace;
}

/** The trace of one guarded call. */
export interface CallTrace {
  /** Runs work of the call, and everything that the work starts, in the context of the trace. */
  run<T>(work: () => T): T;
  /**
   * Runs the handler of the call, as `run` does.
   * @param metadata the metadata that the handler receives
   */
  runHandler<T>(metadata: Metadata, handler: () => T): T;
  /** A handler starts under a claim. @param takenOver as in `ReplayGuardObserver.executionStarted` */
  executionStarted(takenOver: boolean): void;
  /** The call has waited for another execution. A call may wait several times. @param seconds how long it has waited */
  waitEnded(seconds: number): void;
  /** The guard has classified the call in mode OBSERVE. @param wouldBe the outcome in mode ENFORCE */
  observed(wouldBe: CallOutcome): void;
  /**
   * Returns a reference to the trace of the execution, at most 64 bytes. The guard stores the reference beside the reply,
   * and never sends it to a client. Undefined if replays must not refer to this execution.
   */
  reference(): Buffer | undefined;
  /** The call has ended. The guard calls this method once, as the last one. */
  ended(end: TracedEnd): void;
}

/** How a traced call ended. */
export interface TracedEnd {
  readonly outcome: CallOutcome;
  /**
   * The gRPC status code that was sent. Undefined if the call had ended before, for example because its client
   * disconnected.
   */
  readonly code: number | undefined;
  /** The reason in the `ErrorInfo` of a refusal. Undefined for every other answer. */
  readonly reason: string | undefined;
  /** The reference to the execution whose reply was replayed. Undefined if its reply has none. */
  readonly execution: Buffer | undefined;
}
