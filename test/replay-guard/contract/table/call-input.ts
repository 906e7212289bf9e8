import { createHash } from 'node:crypto';
import type { RecordAddress } from 'grpc-replay-guard/store';
import { type Method, pathOf } from './setup.js';

/** The input of one call of the client. An omitted field has the same value in every call of the row. */
export interface CallInput {
  readonly method?: Method;
  /** The idempotency key. `null` sends no key, a list sends several values. */
  readonly key?: string | readonly string[] | null;
  /** The key of the operation, if it differs from the key in the metadata. */
  readonly operationKey?: string;
  /** The producer, epoch and sequence of the call, instead of a key. */
  readonly sequence?: SequenceInput;
  /** The caller. `another` differs from the row's own caller. `null` sends no identity. Default: the row's own. */
  readonly caller?: 'another' | null;
  /** Request fields besides the account. */
  readonly request?: object;
  /** More metadata. @param now the time by the clock of the store, in milliseconds */
  readonly metadata?: (now: number) => Record<string, string | string[]>;
  readonly deadlineMs?: number;
  /** Whether the call goes to the second server on the same data. Default: false. */
  readonly second?: boolean;
}

/** The sequence of a call in the series of a producer. */
export interface SequenceInput {
  /** Default: the row's own producer. */
  readonly producer?: string;
  readonly sequence: number | bigint;
  /** Default: no epoch is sent, which means epoch 0. */
  readonly epoch?: number | bigint;
}

/** The values that a call has if its input omits them. */
export interface CallDefaults {
  readonly method: Method;
  readonly key: string;
  readonly caller: string;
}

/** Returns the caller that a call names, or null if it names none. */
export function callerOf({ caller }: CallInput, defaults: CallDefaults): string | null {
  return caller === 'another' ? `another-${defaults.caller}` : caller === null ? null : defaults.caller;
}

/** Computes the id of the operation that a call names, as the contract defines it. */
export function operationIdOf(sent: CallInput, defaults: CallDefaults): Buffer {
  const { method = defaults.method, key = defaults.key, sequence } = sent;
  const { operationKey = [key ?? []].flat().join(', ') } = sent;
  const caller = callerOf(sent, defaults) ?? '';
  if (!sequence) return digest(caller, pathOf(method), operationKey);
  const { producer = defaults.key, epoch = 0, sequence: number } = sequence;
  return digest('sequence', caller, pathOf(method), producer, String(epoch), String(number));
}

/**
 * Computes the address of the record that a call uses. All sequences of a producer share the record of their series.
 */
export function recordAddressOf(sent: CallInput, defaults: CallDefaults): RecordAddress {
  const scope = callerOf(sent, defaults) ?? '';
  if (!sent.sequence) return { scope, id: operationIdOf(sent, defaults) };
  const { method = defaults.method, sequence } = sent;
  return { scope, id: digest('series', scope, pathOf(method), sequence.producer ?? defaults.key) };
}

/** Returns the stored form of an id: its first half. */
export const recordKey = (id: Buffer) => id.subarray(0, 16);

function digest(...parts: string[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(part));
    hash.update(length).update(part);
  }
  return hash.digest();
}
