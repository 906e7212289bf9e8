import { executions } from './execution.js';

/**
 * Names a part of a handler that runs beside other parts. The keys that are derived in it, and its stable ids,
 * follow from the name: without it two calls of one method that run at the same time get their keys in the
 * order in which they happen to start. Steps may be nested. Outside a guarded call it only runs the work.
 * @param name its own among the steps of the call, or of the step that it is in
 * @throws Error the name was used before: two steps of one name would ask for the same things
 */
export function step<T>(name: string, work: () => T): T {
  const execution = executions.getStore();
  if (!execution) return work();
  const { steps, begun } = execution;
  if (begun.has(name)) throw new Error(`there was a step ${JSON.stringify([...steps, name])} before`);
  begun.add(name);
  const inner = { ...execution, steps: [...steps, name], begun: new Set<string>(), calls: new Map() };
  return executions.run(inner, work);
}
