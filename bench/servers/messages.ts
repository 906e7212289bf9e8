import type { Created } from '../counts/counting.js';
import type { Kind } from './subject.js';

/** What a server process needs to know to start. */
export interface ServerSetup {
  readonly kind: Kind;
  /** `sqlite:PATH` or `postgres://...`, with the tables of the shop. */
  readonly databaseUrl: string;
  /** `redis://...`, for `@node-idempotency/core` only. */
  readonly redisUrl?: string;
  /**
   * How long the guarded shop keeps the replies of ReceiveStock, in milliseconds. Expired replies are then purged twice a
   * second. Default: 24 hours.
   */
  readonly retentionMs?: number;
}

/** What a server process has used since its start. */
export interface Usage {
  /** CPU time, user and system, in microseconds. */
  readonly cpuMicros: number;
  /** Objects and statements, if the process was started with the counting preload. */
  readonly created?: Created;
}

/** What a server process uses, in bytes. */
export interface Memory {
  readonly heapUsed: number;
  readonly rss: number;
}

/** What the parent asks a server process. */
export type ServerQuestion = 'usage' | 'memory';

/** What a server process sends to its parent. */
export type ServerMessage =
  | { readonly event: 'listening'; readonly port: number }
  | { readonly event: 'usage'; readonly usage: Usage }
  | { readonly event: 'memory'; readonly memory: Memory };
