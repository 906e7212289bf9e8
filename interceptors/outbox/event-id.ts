import { type Execution, executions } from '../replay-guard/execution.js';
import { stableId } from '../replay-guard/stable-id.js';

const ordinals = new WeakMap<Execution, Map<string, number>>();

/**
 * The id of the next event of a type and aggregate. In a guarded call it follows from the operation and from
 * how many such events the call has appended, so that a second execution appends the same ones.
 */
export function nextEventId(type: string, aggregate: string): string {
  const execution = executions.getStore();
  const name = JSON.stringify(['outbox', type, aggregate]);
  if (!execution) return stableId(name);
  const counts = ordinals.get(execution) ?? new Map<string, number>();
  ordinals.set(execution, counts);
  const ordinal = (counts.get(name) ?? 0) + 1;
  counts.set(name, ordinal);
  return stableId(`${name} ${ordinal}`);
}
