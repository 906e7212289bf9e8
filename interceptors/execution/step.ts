import { currentExecution, derivingExecution } from './execution.js';

/**
 * Runs a named part of a handler. Derived keys and stable ids inside the step depend on the name of the step. Parts of
 * a handler that run concurrently need one step each. Without steps, the keys of concurrent calls to one method depend
 * on the order in which the calls start. Steps can be nested. Outside a guarded call `step` only runs the work.
 * @param name unique among the steps of the call, or of the surrounding step
 * @returns the result of `work`
 * @throws Error when a step with this name has already started, and inside a guarded call of another copy of this
 *   library whose version cannot share its context with this version
 */
export function step<T>(name: string, work: () => T): T {
  const execution = derivingExecution();
  if (!execution) return work();
  const { progress } = execution;
  const steps = [...execution.steps, name];
  progress.startedSteps ??= new Set();
  if (progress.startedSteps.has(name))
    throw new Error(`step ${JSON.stringify(steps)} has already started: step names must be unique`);
  progress.startedSteps.add(name);
  return currentExecution.run({ ...execution, steps, progress: {} }, work);
}
