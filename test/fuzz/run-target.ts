import fc from 'fast-check';
import { CleanUp } from './clean-up.js';
import type { Setup, Target } from './target.js';

/** The maximum time of the check of one input, in milliseconds. A longer check counts as hanging. */
const CHECK_MS = 30_000;

/** Which inputs of a target run. */
export interface Plan extends Omit<Setup, 'count'> {
  readonly seed: number;
  /** Repeats one input of an earlier run with the same seed: the path that its failure named. */
  readonly path?: string;
  /** The maximum number of inputs. */
  readonly runs: number;
  /** The maximum time of the run, in milliseconds. */
  readonly maxMs?: number;
}

/** An input that breaks a rule. fast-check has made the input as small as it could. */
export interface Failure {
  readonly input: unknown;
  readonly error: unknown;
  readonly path: string;
}

/** The result of a run. */
export interface Outcome {
  readonly runs: number;
  readonly events: Readonly<Record<string, number>>;
  readonly failure?: Failure;
}

/** Runs a target with random inputs until an input breaks a rule, or the plan is over. */
export async function runTarget(target: Target, plan: Plan): Promise<Outcome> {
  const cleanUp = new CleanUp();
  const events: Record<string, number> = {};
  const count = (event: string) => {
    events[event] = (events[event] ?? 0) + 1;
  };
  try {
    const subject = await target.open(cleanUp, { ...plan, count });
    const property = fc.asyncProperty(target.inputs, async (input) => subject.check(input));
    const { seed, path, runs: numRuns, maxMs } = plan;
    const details = await fc.check(property, {
      ...{ seed, numRuns, timeout: CHECK_MS, markInterruptAsFailure: false, skipEqualValues: false },
      ...(maxMs !== undefined && { interruptAfterTimeLimit: maxMs }),
      ...(path !== undefined && { path }),
      // A planted bug needs no small input.
      endOnFailure: path !== undefined || plan.planted,
    });
    const { counterexample, counterexamplePath, errorInstance, numRuns: runs } = details;
    if (!details.failed || counterexample === null) return { runs, events };
    const failure = { input: counterexample[0], error: errorInstance, path: counterexamplePath ?? '' };
    return { runs, events, failure };
  } finally {
    await cleanUp.run();
  }
}

/** Checks one input. Resolves to the error if the input breaks a rule. */
export async function runInput(
  target: Target,
  input: unknown,
  setup: Omit<Setup, 'count'>,
): Promise<unknown> {
  const cleanUp = new CleanUp();
  try {
    const subject = await target.open(cleanUp, { ...setup, count: () => {} });
    await subject.check(input);
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await cleanUp.run();
  }
}

/** Returns the command that repeats an input. */
export function replayCommand(name: string, seed: number, { path }: Failure): string {
  return `npm run fuzz -- --target ${name} --seed ${seed} --path ${path}`;
}
