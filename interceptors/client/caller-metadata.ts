import { Metadata } from '@grpc/grpc-js';
import { currentExecution } from '../execution/execution.js';
import {
  EPOCH_HEADER,
  FIRST_SENT_HEADER,
  KEY_HEADER,
  keyIn,
  PRODUCER_HEADER,
  SEQUENCE_HEADER,
} from '../protocol/headers.js';

const OPERATION_HEADERS = [KEY_HEADER, PRODUCER_HEADER, SEQUENCE_HEADER, EPOCH_HEADER];

/**
 * Returns the metadata without the key or the sequence of the current guarded call. Handlers forward the
 * metadata of their caller for tracing. Two outgoing calls with the key of the guarded call would be
 * duplicates of each other.
 */
export function withoutCallerKey(metadata: Metadata): Metadata {
  const caller = currentExecution.get()?.callerMetadata;
  if (!caller || !OPERATION_HEADERS.every((name) => isSame(metadata, caller, name))) return metadata;
  const own = metadata.clone();
  for (const name of [...OPERATION_HEADERS, FIRST_SENT_HEADER]) own.remove(name);
  return own;
}

/**
 * Runs code that sends a call with an explicitly chosen key. The interceptor then keeps this key, even if the
 * key is equal to the key of the current guarded call.
 */
export function withChosenKey<T>(work: () => T): T {
  const execution = currentExecution.get();
  return execution ? currentExecution.run({ ...execution, callerMetadata: new Metadata() }, work) : work();
}

function isSame(metadata: Metadata, caller: Metadata, name: string): boolean {
  return formOf(metadata, name) === formOf(caller, name);
}

/** A key with and without double quotes is one key. */
function formOf(metadata: Metadata, name: string): string {
  const text = metadata.get(name).join();
  return name === KEY_HEADER ? (keyIn(text) ?? text) : text;
}
