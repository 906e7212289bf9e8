import type { CallOutcome } from 'grpc-replay-guard';
import type { Script } from './handlers.js';
import type { RowRun, State } from './row-run.js';
import type { Method, Setup, StoreName } from './setup.js';

/** The expected state after a row. */
export interface FinalState {
  /** The states of all records of the row. */
  readonly records: readonly State[];
  /** The number of executions of the handler. */
  readonly executions: number;
  /** The number of committed effects. Counted only if the store has a database. */
  readonly effects: number;
}

/** One line of the contract: the steps of the clients, the expected results, and the expected final state. */
export interface Row {
  /** The condition and the outcome, as in `condition: outcome`. */
  readonly title: string;
  /** The row runs once for each method. Default: Append. */
  readonly methods?: readonly Method[];
  /** The row runs once on each store. Default: all stores. */
  readonly stores?: readonly StoreName[];
  readonly setup?: Setup;
  /** Default: writes and responds. */
  readonly handler?: Script;
  readonly steps: readonly Step[];
  readonly final: FinalState;
  /** The expected counts of the row's calls, by outcome. */
  readonly counts: Counts;
}

/** A number of calls for each outcome. */
export type Counts = Readonly<Partial<Record<CallOutcome, number>>>;

/** One action or assertion of a row. Throws, or fails an assertion, if the result is not the expected one. */
export type Step = (run: RowRun) => Promise<void>;

/** Returns a final state with one record or none. */
export const finalState = (state: State | 'no record', executions: number, effects: number): FinalState => ({
  records: state === 'no record' ? [] : [state],
  executions,
  effects,
});
/** No record, no execution and no effect. */
export const noRecord: FinalState = { records: [], executions: 0, effects: 0 };
/** One execution, whose effect is committed with the reply. */
export const executedOnce: FinalState = { records: ['completed'], executions: 1, effects: 1 };
/** One execution, whose failure is stored and whose effect is rolled back. */
export const failureStored: FinalState = { records: ['completed'], executions: 1, effects: 0 };
