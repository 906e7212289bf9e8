import type { status } from '@grpc/grpc-js';

/** The methods of the load: `append` is TRANSACTION, `transfer` is LEASE, `close` is TRANSACTION with a short retention. */
export const methods = ['append', 'transfer', 'close'] as const;
/** One of `methods`. */
export type LoadMethod = (typeof methods)[number];

/** An operation that a client wants done once. */
export interface LoadOperation {
  /** The caller, whom the guard takes as the scope. */
  readonly scope: string;
  readonly method: LoadMethod;
  /** The idempotency key, or the producer and the sequence. */
  readonly name: { readonly key: string } | { readonly producer: string; readonly sequence: number };
  /**
   * The account of the request. The effect of the operation has the same account. Operations of two scopes may have the
   * same account.
   */
  readonly account: string;
}

/** One call of a client, with its answer. Times are in milliseconds of the machine's steady clock. */
export interface Attempt {
  readonly id: string;
  readonly operation: LoadOperation;
  /** Whether the call had the key of the operation and another request. */
  readonly isOtherRequest: boolean;
  readonly beganAt: number;
  readonly endedAt: number;
  readonly code: status;
  /** The reason of a refusal of the guard. Empty for other answers. */
  readonly reason: string;
  readonly details: string;
  readonly replayed: boolean;
  /** The bytes of an OK reply, as hexadecimal text. Empty for failures. */
  readonly bytes: string;
  /** The execution that the reply names. Empty if the reply names none. */
  readonly execution: string;
  /** The end of the retention that the reply states, in milliseconds since the epoch. */
  readonly expiresAtMs: number | undefined;
}

/** One run of a handler, as its server process wrote it down. */
export interface Execution {
  readonly id: string;
  readonly attempt: string;
  readonly scope: string;
  readonly method: LoadMethod;
  readonly account: string;
  readonly startedAt: number;
  /** Undefined if the process ended before the handler. */
  readonly endedAt: number | undefined;
}

/** A committed effect of an execution. */
export interface Effect {
  readonly execution: string;
  readonly attempt: string;
  readonly scope: string;
  readonly method: string;
  readonly account: string;
  readonly item: string;
}

/** The content of the database after a round. */
export interface Tables {
  readonly effects: readonly Effect[];
  readonly stock: readonly { readonly item: string; readonly onHand: number; readonly reserved: number }[];
  /** The execution that each event of the outbox names. */
  readonly events: readonly string[];
  /** Whether the database retains a finished record of the operation. */
  retains(operation: LoadOperation): boolean;
  /** The time of the database, in milliseconds since the epoch. */
  readonly nowMs: number;
  /** The number of records that have been expired for longer than the pruner may take. */
  readonly leftovers: number;
}

/** The input of the judge: the calls of the clients, the executions, and the content of the database. */
export interface RoundHistory {
  readonly operations: readonly LoadOperation[];
  readonly attempts: readonly Attempt[];
  readonly executions: readonly Execution[];
  readonly tables: Tables;
  /** The stock of each item before the round. */
  readonly stockPerItem: number;
  /** When the last fault ended. */
  readonly faultsEndedAt: number;
  /** How long after the last fault an operation may stay without an answer that is known. */
  readonly recoveryMs: number;
  /** The lease, if no fault of the round changes clocks, leases or claims. */
  readonly quietLeaseMs?: number;
  /** Whether the pruner may keep expired records, because a clock of the round was set back. */
  readonly mayKeepExpired?: boolean;
  /** Server processes that ended although no fault ended them. */
  readonly crashes: readonly string[];
}

/** Returns the text that names an operation. */
export function nameOf({ scope, method, name }: LoadOperation): string {
  const key = 'key' in name ? name.key : `${name.producer}#${name.sequence}`;
  return `${scope} ${method} ${key}`;
}
