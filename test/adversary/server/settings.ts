import type { BugName } from '../planted/bugs.js';

/** The settings of a server process of the adversary. */
export interface AdversaryServerSettings {
  /** The URL of the database. */
  readonly url: string;
  /** The port on 127.0.0.1. It stays the same after a restart. */
  readonly port: number;
  /** The journal of the server. */
  readonly journal: string;
  readonly leaseMs: number;
  readonly waitMs: number;
  /** The retention of the method Close, in milliseconds. */
  readonly shortRetentionMs: number;
  readonly maxConnections: number;
  /** How long the handlers wait for another service at most, in milliseconds. */
  readonly handlerMs: number;
  /** The option of `openPostgres`. Postgres only. Default: no pooler. */
  readonly pooler?: 'transaction';
  /** Whether the pool sends DISCARD ALL before some uses of a connection. Postgres only. Default: false. */
  readonly discards?: boolean;
  /** The bug that is planted into this server. Default: none. */
  readonly bug?: BugName;
}

/** The metadata entry with the caller, whom the guard takes as the scope. */
export const CALLER_HEADER = 'x-caller';
/** The metadata entry with the id of a call. */
export const ATTEMPT_HEADER = 'x-attempt';

/** The items of the stock, and the stock of each item before a round. */
export const ITEMS = Array.from({ length: 24 }, (_, index) => `item ${index}`);
/** The stock of each item before a round. */
export const STOCK = 1_000_000;
