import { Metadata } from '@grpc/grpc-js';
import { currentExecution } from '../execution/execution.js';
import {
  EPOCH_HEADER,
  FIRST_SENT_HEADER,
  KEY_HEADER,
  PRODUCER_HEADER,
  SEQUENCE_HEADER,
} from '../protocol/headers.js';

const NAMES = [KEY_HEADER, PRODUCER_HEADER, SEQUENCE_HEADER, EPOCH_HEADER];

/**
 * The metadata without what names the guarded call that this code runs in. Handlers pass their caller's metadata
 * on, for tracing: two calls under the caller's name would pass for one.
 */
export function withoutCallersName(metadata: Metadata): Metadata {
  const caller = currentExecution.getStore()?.callerMetadata;
  if (!caller || !NAMES.every((name) => isSame(metadata, caller, name))) return metadata;
  const own = metadata.clone();
  for (const name of [...NAMES, FIRST_SENT_HEADER]) own.remove(name);
  return own;
}

/** Runs what sends a call by the name that was chosen for it, and not passed on, though it be the guarded call's. */
export function byChosenName<T>(work: () => T): T {
  const execution = currentExecution.getStore();
  return execution ? currentExecution.run({ ...execution, callerMetadata: new Metadata() }, work) : work();
}

function isSame(metadata: Metadata, caller: Metadata, name: string): boolean {
  return metadata.get(name).join() === caller.get(name).join();
}
