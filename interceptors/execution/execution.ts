import type { Metadata } from '@grpc/grpc-js';
import { ContextValue } from '../context/context-value.js';
import { assertNoForeignCall, EXECUTION } from '../context/copies.js';
import { lengthPrefixed, sha256 } from '../store/record-id.js';
import type { LazySignal } from '../timing/lazy-signal.js';

/** The steps and calls that were started inside one step. */
export interface StepProgress {
  /** The names of the started steps. Absent before the first. */
  startedSteps?: Set<string>;
  /** The number of calls to each method, by method path. Absent before the first. */
  callCounts?: Map<string, number>;
}

/** One execution of a guarded call, for the code that runs inside its handler. */
export interface Execution {
  /** The id of the operation's record. The id is equal in every execution of the operation. */
  readonly recordId: Buffer;
  /** The metadata of the guarded call. */
  readonly callerMetadata: Metadata;
  /** When the operation was first sent, in milliseconds since the epoch. Absent if the call does not state the time. */
  readonly firstSentMs?: number;
  /** The names of the steps around the current code, the outermost step first. */
  readonly steps: readonly string[];
  /** The progress of the current step. Copies of the execution for a part of the step share this object. */
  readonly progress: StepProgress;
  /** Aborted when the execution ends before its handler. Later writes of the handler are not committed. */
  readonly stopped: LazySignal;
  /** Ends the execution as failed. After the end of the execution the error is only reported. */
  fail(error: unknown): void;
}

/** Holds the execution of the current asynchronous context. */
export const currentExecution = new ContextValue<Execution>(EXECUTION);

/**
 * Returns the execution for which ids and keys are derived, or undefined outside a guarded call.
 * @throws Error inside a guarded call of another copy of the library whose version cannot share its context with this
 *   version
 */
export function derivingExecution(): Execution | undefined {
  const execution = currentExecution.get();
  if (!execution) assertNoForeignCall();
  return execution;
}

/**
 * Returns a signal for the work of the current guarded call, for example an outgoing request of its handler. The signal
 * is aborted when the execution loses its lease, exceeds its maximum time, or has a reply that is too large.
 * @returns undefined outside a guarded call
 */
export function executionSignal(): AbortSignal | undefined {
  return currentExecution.get()?.stopped.signal;
}

/**
 * Returns a digest of the operation, the current step and the parts: 32 bytes. The digest is equal in every execution
 * of one operation and different in every other operation.
 */
export function deriveDigest(execution: Execution, ...parts: readonly string[]): Buffer {
  const steps = execution.steps.flatMap((name) => ['step', name]);
  return sha256(Buffer.concat([execution.recordId, lengthPrefixed(...steps, ...parts)]));
}
