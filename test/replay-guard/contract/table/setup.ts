import type { MethodPolicy, ReplayGuardOptions } from 'grpc-replay-guard';
import { type Engine, engines, isPostgresOnly } from '../../../helpers/databases/engines.js';

/** The stores that must keep the contract: all of them. */
export const allStores: readonly StoreName[] = isPostgresOnly ? engines : ['memory', ...engines];
/** The name of a store. */
export type StoreName = 'memory' | Engine;

/** The stores whose clock a test can set. Postgres uses its own clock. */
export const clockedStores: readonly StoreName[] = ['memory', 'sqlite'];

/** The unary methods: Append is a TRANSACTION, Transfer has a LEASE. */
export const unary = ['Append', 'Transfer'] as const;
/** The server-streaming methods: Settle is a TRANSACTION, Sweep has a LEASE. */
export const streaming = ['Settle', 'Sweep'] as const;
/** One method for each combination of call type and atomicity. */
export const everyKind = [...unary, ...streaming] as const;
/** A unary TRANSACTION method and a streaming LEASE method. */
export const unaryAndStreaming = ['Append', 'Sweep'] as const;
/** A method of the ledger service. */
export type Method = (typeof everyKind)[number] | 'Touch' | 'Read' | 'Close';

/** Returns the path of a method in a gRPC request. */
export const pathOf = (method: Method) => `/test.v1.LedgerService/${method}`;

/** The configuration of a row's servers. Rows that share this object share the servers. */
export interface Setup {
  readonly guard?: Partial<ReplayGuardOptions>;
  /** If set, a second server runs on the same data, with these options changed. */
  readonly second?: Partial<ReplayGuardOptions>;
  readonly policy?: Partial<MethodPolicy>;
  /** The same policy as method options in a `.proto`. The row then runs once with each source of the policy. */
  readonly declared?: string;
  /** The methods with this policy. Default: Append. */
  readonly methods?: readonly Method[];
}

/** Returns the policy option of a method as `.proto` text. */
export const declare = (fields: string) => `option (replayguard.v1.policy) = {${fields}};`;
