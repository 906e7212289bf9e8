/** A part that a factory takes, such as a store, a handle or a pool. */
export interface Part {
  /** Methods that every such part has. */
  readonly methods: readonly string[];
  /** What to pass, for the message. */
  readonly expected: string;
}

/**
 * Refuses a value that is not the part that a factory takes, for example a promise in place of its result. Without this
 * check each later use would fail, by an error that does not name the mistake.
 * @param name the factory and the option, for the message
 * @throws TypeError when a method is missing; the message names the option, what to pass, and what was passed
 */
export function assertPart(name: string, given: unknown, { methods, expected }: Part): void {
  const isObject = typeof given === 'object' && given !== null;
  if (isObject && methods.every((method) => typeof Reflect.get(given, method) === 'function')) return;
  throw new TypeError(`${name} must be ${expected}, not ${kindOf(given)}`);
}

function kindOf(given: unknown): string {
  if (given instanceof Promise) return 'a promise: await it first';
  if (given === undefined || given === null) return String(given);
  return typeof given === 'object' ? 'another object' : `a ${typeof given}`;
}
