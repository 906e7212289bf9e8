import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash } from 'node:crypto';
import type { Metadata } from '@grpc/grpc-js';
import { lengthPrefixed } from '../store/record-id.js';

/** A running execution of a guarded call, as the code it runs can see it. */
export interface Execution {
  /** Names the operation; the same in every execution of it. */
  readonly recordId: Buffer;
  /** What the caller sent with the call. */
  readonly caller: Metadata;
  /** When it was first sent, in milliseconds since the epoch, where its caller said so. */
  readonly firstSentMs?: number;
  /** The steps that the current code is in, the outermost first. */
  readonly steps: readonly string[];
  /** The steps that were begun in the current one. */
  readonly begun: Set<string>;
  /** How often each method has been called in the current step so far, by its path. */
  readonly calls: Map<string, number>;
  /** Aborted when what the handler does from now on counts for nothing. */
  readonly signal: AbortSignal;
  /** Ends the execution as failed; an error that comes after its end is only reported. */
  fail(error: unknown): void;
}

/** The execution that the current code runs in. */
export const executions = new AsyncLocalStorage<Execution>();

/**
 * Aborted when the execution of the current guarded call was ended before its handler: its lease was lost, it
 * ran too long, or its reply is too large. For handlers to pass to what they wait for. Undefined outside one.
 */
export function executionSignal(): AbortSignal | undefined {
  return executions.getStore()?.signal;
}

/**
 * 32 bytes that follow from the operation, the current step and the parts: the same in every execution of the
 * operation, different for every other.
 */
export function derive(execution: Execution, ...parts: readonly string[]): Buffer {
  const hash = createHash('sha256').update(execution.recordId);
  const steps = execution.steps.flatMap((name) => ['step', name]);
  for (const part of [...steps, ...parts]) hash.update(lengthPrefixed(part));
  return hash.digest();
}
