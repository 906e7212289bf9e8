type Method = (...args: never[]) => void;

/**
 * Completes an observer of which methods may be missing: a missing method does nothing.
 * @param names every method of the observer
 * @throws TypeError a property with the name of a method is not a function
 */
export function completeObserver<Observer extends { readonly [Name in keyof Observer]: Method }>(
  observer: Partial<Observer> | undefined,
  names: { readonly [Name in keyof Observer]: true },
): Observer {
  const methods = (Object.keys(names) as (keyof Observer & string)[]).map((name) => {
    const method: unknown = observer?.[name];
    if (method === undefined) return [name, () => {}];
    if (typeof method !== 'function') throw new TypeError(`observer: ${name} must be a function`);
    // Bound: the observer may be an object of a class.
    return [name, method.bind(observer)];
  });
  return Object.fromEntries(methods);
}
