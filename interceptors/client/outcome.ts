import type { Metadata, status } from '@grpc/grpc-js';
import { EXPIRES_TRAILER, REPLAYED_TRAILER } from '../protocol/headers.js';
import { parseTime } from '../protocol/rfc3339.js';
import type { Failed, Succeeded } from './attempt.js';
import type { Intent } from './intent.js';

/** The operation was executed, by the last attempt or by an earlier attempt. */
export interface Done<Response> {
  readonly outcome: 'done';
  readonly response: Response;
  /** Whether the server replayed the stored reply of an earlier attempt. */
  readonly replayed: boolean;
  /** When the retention of the key ends. Undefined if the server did not send the time. */
  readonly expiresAt: Date | undefined;
  readonly trailers: Metadata;
}

/** No attempt with this key executed the operation. */
export interface Refused {
  readonly outcome: 'refused';
  readonly code: status;
  readonly details: string;
  /** The reason of the ErrorInfo, if the server sent an ErrorInfo. */
  readonly reason: string | undefined;
  readonly trailers: Metadata;
}

/**
 * The operation may be executed already, or still be running. Keep the key. Never send the same operation
 * with a new key.
 */
export interface Unknown extends Intent {
  readonly outcome: 'unknown';
  /**
   * Whether a later attempt with this key can determine the outcome. If false, determine the outcome by other means.
   */
  readonly retryLater: boolean;
  /** The error of the last attempt. Absent if no attempt was made. */
  readonly lastError?: Error;
}

/** The outcome of an operation. */
export type Outcome<Response> = Done<Response> | Refused | Unknown;

/** Returns the outcome of an operation from the attempt that received a response. */
export function done<Response>({ response, trailers }: Succeeded<Response>): Done<Response> {
  const replayed = trailers.get(REPLAYED_TRAILER).length > 0;
  return { outcome: 'done', response, replayed, expiresAt: expiresAt(trailers), trailers };
}

/** Returns the outcome of an operation from the attempt that was refused. */
export function refused({ code, error, trailers }: Failed, reason: string | undefined): Refused {
  return { outcome: 'refused', code, details: error.details, reason, trailers };
}

/** Reads the time at which the retention of the key ends. Returns undefined if the server did not send the time. */
export function expiresAt(trailers: Metadata): Date | undefined {
  const ms = parseTime(String(trailers.get(EXPIRES_TRAILER)[0]));
  return ms === undefined ? undefined : new Date(ms);
}
