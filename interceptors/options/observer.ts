type Method = (...args: never[]) => void;

/**
 * Returns an observer with all methods. A method that the given observer omits has no effect.
 * @param names every method of the observer
 * @throws TypeError when a property with the name of a method is not a function
 */
export function completeObserver<Observer extends { readonly [Name in keyof Observer]: Method }>(
  observer: Partial<Observer> | undefined,
  names: { readonly [Name in keyof Observer]: true },
): Observer {
  const methods = (Object.keys(names) as (keyof Observer & string)[]).map((name) => {
    const method: unknown = observer?.[name];
    if (method === undefined) return [name, () => {}];
    if (typeof method !== 'function') throw new TypeError(`observer: ${name} must be a function`);
    // Bind the method, because the observer may be an instance of a class.
    return [name, method.bind(observer)];
  });
  return Object.fromEntries(methods);
}
