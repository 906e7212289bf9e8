import type fc from 'fast-check';
import type { Cleanup } from '../helpers/databases/postgres.js';

/** A part of the product that hostile inputs reach, with the rules that it must obey for every input. */
export interface Target<Input = unknown> {
  /** The inputs and the part, as the report names them. */
  readonly title: string;
  /** Random inputs. An input is plain data: objects, arrays, texts, numbers, BigInts and bytes. */
  readonly inputs: fc.Arbitrary<Input>;
  /** The number of inputs in `npm test`. Absent: the target runs by the command only. */
  readonly quickRuns?: number;
  /** The events that a run must show, so that the rules were really applied. */
  readonly requires: readonly string[];
  /** A bug that the target must find: the title of the bug. */
  readonly planted: string;
  /** Why the target cannot run on this machine; undefined if it can. */
  lacks?(setup: Setup): string | undefined;
  /** Starts the real parts. */
  open(t: Cleanup, setup: Setup): Promise<Subject<Input>> | Subject<Input>;
}

/** The real parts of a target. */
export interface Subject<Input> {
  /** Checks one input. Throws or rejects if the input breaks a rule. */
  check(input: Input): Promise<void> | void;
}

/** How a target starts. */
export interface Setup {
  /** Whether the bug of the target is planted. */
  readonly planted: boolean;
  /** A Postgres whose databases the targets may create. Absent in `npm test`. */
  readonly postgresUrl?: string;
  /** Counts an event for the report. */
  readonly count: (event: string) => void;
}

/** Throws an error if a rule is broken. */
export function must(holds: boolean, broken: string): asserts holds {
  if (!holds) throw new Error(broken);
}
