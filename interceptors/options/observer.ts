type Method = (...args: never[]) => void;

/**
 * Returns an observer with all methods. A method that the given observer omits has no effect.
 * @param names every method of the observer
 * @throws TypeError when a property with the name of a method is not a function, or when an object literal has a
 *   function with another name
 */
export function completeObserver<Observer extends { readonly [Name in keyof Observer]: Method }>(
  observer: Partial<Observer> | undefined,
  names: { readonly [Name in keyof Observer]: true },
): Observer {
  const given: Partial<Observer> = observer ?? {};
  assertKnownMethods(given, names);
  const methods = (Object.keys(names) as (keyof Observer & string)[]).map((name) => {
    const method: unknown = given[name];
    if (method === undefined) return [name, () => {}];
    if (typeof method !== 'function') throw new TypeError(`observer: ${name} must be a function`);
    // Read the method at each call, because a test or a tracer may replace it later.
    return [name, (...args: never[]) => (given[name] as Method).apply(given, args)];
  });
  return Object.fromEntries(methods);
}

/** Refuses misspelt methods. An instance of a class may have methods of its own. */
function assertKnownMethods(observer: object, names: object): void {
  if (Object.getPrototypeOf(observer) !== Object.prototype) return;
  const unknown = Object.entries(observer).find(
    ([name, value]) => typeof value === 'function' && !Object.hasOwn(names, name),
  );
  if (!unknown) return;
  throw new TypeError(
    `observer: unknown method ${unknown[0]}; its methods are ${Object.keys(names).join(', ')}`,
  );
}
