import type { Metadata, status } from '@grpc/grpc-js';
import { EXPIRES_TRAILER, REPLAYED_TRAILER } from '../protocol/headers.js';
import { parseTime } from '../protocol/rfc3339.js';
import type { Failed, Succeeded } from './attempt.js';
import type { Intent } from './intent.js';

/** The operation was done, now or by an earlier attempt. */
export interface Done<Response> {
  readonly outcome: 'done';
  readonly response: Response;
  /** Whether the response was stored by an earlier attempt. */
  readonly replayed: boolean;
  /** Until when the key is retained, where the server said so. */
  readonly expiresAt: Date | undefined;
  readonly trailers: Metadata;
}

/** The operation was not done by any attempt with this key. */
export interface Refused {
  readonly outcome: 'refused';
  readonly code: status;
  readonly details: string;
  /** The ErrorInfo's, if there is one. */
  readonly reason: string | undefined;
  readonly trailers: Metadata;
}

/** The operation may have been done, or may be done yet. Keep the key; never ask for the same with a new one. */
export interface Unknown extends Intent {
  readonly outcome: 'unknown';
  /** Whether sending it again later, with this key, may tell. If not, find out by other means. */
  readonly retryLater: boolean;
  /** How the last attempt ended; absent where none was made. */
  readonly lastError?: Error;
}

export type Outcome<Response> = Done<Response> | Refused | Unknown;

/** @param answer the one that brought the response */
export function done<Response>({ response, trailers }: Succeeded<Response>): Done<Response> {
  const replayed = trailers.get(REPLAYED_TRAILER).length > 0;
  return { outcome: 'done', response, replayed, expiresAt: expiresAt(trailers), trailers };
}

/** @param answer the one that tells it */
export function refused({ code, error, trailers }: Failed, reason: string | undefined): Refused {
  return { outcome: 'refused', code, details: error.details, reason, trailers };
}

/** Until when the key is retained, where the server says so. */
export function expiresAt(trailers: Metadata): Date | undefined {
  const ms = parseTime(String(trailers.get(EXPIRES_TRAILER)[0]));
  return ms === undefined ? undefined : new Date(ms);
}
