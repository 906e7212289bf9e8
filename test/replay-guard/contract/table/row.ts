import type { CallOutcome, MethodPolicy, ReplayGuardOptions } from 'grpc-replay-guard';
import { engines } from '../../../helpers/databases/engines.js';
import type { Script } from './handlers.js';
import type { Stage } from './row-run.js';

/** Where the contract holds: on every engine. */
export const everywhere = ['memory', ...engines] as const;
export type Place = (typeof everywhere)[number];

/** Where a test can set the clock; Postgres has its own. */
export const clocked: readonly Place[] = ['memory', 'sqlite'];

/** The ways to guard a method: unary and streaming, each in a TRANSACTION and under a LEASE. */
export const unary = ['Append', 'Transfer'] as const;
export const streaming = ['Settle', 'Sweep'] as const;
export const everyKind = [...unary, ...streaming] as const;
/** One way of either sort: a unary method in a TRANSACTION, a streaming one under a LEASE. */
export const eachSort = ['Append', 'Sweep'] as const;
export type Method = (typeof everyKind)[number] | 'Touch' | 'Read' | 'Close';

/** How a row's server is set. Rows that share the object share the server. */
export interface Setup {
  readonly guard?: Partial<ReplayGuardOptions>;
  /** That there is a second server on the same data, and what it has differently. */
  readonly second?: Partial<ReplayGuardOptions>;
  readonly policy?: Partial<MethodPolicy>;
  /** The same policy as a `.proto` puts it: what stands in the braces of the method. The row is played with either. */
  readonly declared?: string;
  /** The methods that the policy is for. Default: Append. */
  readonly methods?: readonly Method[];
}

/** The option of a method in a `.proto`, given its fields. */
export const declare = (fields: string) => `option (replayguard.v1.policy) = {${fields}};`;

/** What is there of a record: nothing, where it is not in the list. A series is empty before it has come anywhere. */
export type State = 'in progress' | 'completed' | 'erased' | 'empty';

/** What there is after a row. */
export interface Leaves {
  /** The states of all its records. */
  readonly records: readonly State[];
  /** How often the handler was entered. */
  readonly executions: number;
  /** How many of its effects are committed; counted where there is a database. */
  readonly effects: number;
}

/** One line of the contract: what is done, what clients see of it, and what it leaves. */
export interface Row {
  readonly line: string;
  /** Played for each. Default: Append. */
  readonly methods?: readonly Method[];
  /** Played at each. Default: everywhere. */
  readonly places?: readonly Place[];
  readonly setup?: Setup;
  /** Default: writes and answers. */
  readonly handler?: Script;
  readonly steps: readonly Step[];
  readonly leaves: Leaves;
  /** What the calls of the row are counted as. */
  readonly counts: Counts;
}

export type Counts = Readonly<Partial<Record<CallOutcome, number>>>;

/** One thing that is done in a row; throws or fails an assertion where it does not turn out as the row says. */
export type Step = (stage: Stage) => Promise<void>;

export const leaves = (state: State | 'nothing', executions: number, effects: number): Leaves => ({
  records: state === 'nothing' ? [] : [state],
  executions,
  effects,
});
export const nothing: Leaves = { records: [], executions: 0, effects: 0 };
export const once: Leaves = { records: ['completed'], executions: 1, effects: 1 };
/** What a failure that is kept leaves. */
export const keptFailure: Leaves = { records: ['completed'], executions: 1, effects: 0 };
