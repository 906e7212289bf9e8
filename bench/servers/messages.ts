import type { Created } from '../counts/counting.js';
import type { Kind } from './subject.js';

/** What a server process needs to know to start. */
export interface ServerSetup {
  readonly kind: Kind;
  /** `sqlite:PATH` or `postgres://...`, with the tables of the shop. */
  readonly databaseUrl: string;
  /** `redis://...`, for `@node-idempotency/core` only. */
  readonly redisUrl?: string;
}

/** What a server process has used since its start. */
export interface Usage {
  /** CPU time, user and system, in microseconds. */
  readonly cpuMicros: number;
  /** Objects and statements, if the process was started with the counting preload. */
  readonly created?: Created;
}

/** What a server process sends to its parent. */
export type ServerMessage =
  | { readonly event: 'listening'; readonly port: number }
  | { readonly event: 'usage'; readonly usage: Usage };
