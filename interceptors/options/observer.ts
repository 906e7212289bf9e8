import { neverThrowing, warnOnce } from '../logging/warn-once.js';

type Method = (...args: never[]) => void;

/**
 * Returns an observer with all methods, which passes each event on to the given observers in their order. A method that
 * an observer omits has no effect. The methods of the returned observer never throw: an error of a given method becomes
 * one process warning for each method of each observer, with the code `REPLAY_GUARD_OBSERVER_FAILED`.
 * @param observers one observer or a list
 * @param names every method of the observer
 * @throws TypeError when an observer is not an object, when a property with the name of a method is not a function, or
 *   when an object literal has a function with another name
 */
export function completeObserver<Observer extends { readonly [Name in keyof Observer]: Method }>(
  observers: Partial<Observer> | readonly Partial<Observer>[] | undefined,
  names: { readonly [Name in keyof Observer]: true },
): Observer {
  const given = [observers ?? []].flat() as readonly Partial<Observer>[];
  for (const observer of given) assertKnownMethods(observer as object, names);
  const methods = (Object.keys(names) as (keyof Observer & string)[]).map((name) => {
    const [first = () => {}, ...others] = given.flatMap(
      (observer) => safeMethod<Observer>(observer, name) ?? [],
    );
    if (others.length === 0) return [name, first];
    const all = [first, ...others];
    return [
      name,
      (...args: never[]) => {
        for (const method of all) method(...args);
      },
    ];
  });
  return Object.fromEntries(methods);
}

/** Returns a method of an observer that never throws. Undefined if the observer omits the method. */
function safeMethod<Observer>(given: Partial<Observer>, name: keyof Observer & string): Method | undefined {
  const method: unknown = given[name];
  if (method === undefined) return undefined;
  if (typeof method !== 'function') throw new TypeError(`observer: ${name} must be a function`);
  // Read the method at each call, because a test or a tracer may replace it later.
  return neverThrowing((...args) => (given[name] as Method).apply(given, args), warnOnce(name));
}

/** Refuses misspelt methods. An instance of a class may have methods of its own. */
function assertKnownMethods(observer: object, names: object): void {
  if (typeof observer !== 'object' || observer === null) throw new TypeError('observer: must be an object');
  if (Object.getPrototypeOf(observer) !== Object.prototype) return;
  const unknown = Object.entries(observer).find(
    ([name, value]) => typeof value === 'function' && !Object.hasOwn(names, name),
  );
  if (!unknown) return;
  throw new TypeError(
    `observer: unknown method ${unknown[0]}; its methods are ${Object.keys(names).join(', ')}`,
  );
}
