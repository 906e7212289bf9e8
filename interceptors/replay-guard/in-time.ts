/**
 * What `ask` resolves to, if it does so in time; the asking itself cannot be stopped.
 * @param expired makes the error that is thrown when `ms` have passed
 * @param late is given what is resolved to after that
 */
export function inTime<T>(
  ms: number,
  ask: () => Promise<T>,
  expired: () => Error,
  late: (result: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    let over = false;
    const limit = setTimeout(() => {
      over = true;
      reject(expired());
    }, ms);
    const settle = (result: T) => {
      clearTimeout(limit);
      if (over) late(result);
      else resolve(result);
    };
    const fail = (error: unknown) => {
      clearTimeout(limit);
      reject(error);
    };
    // A store of somebody else's may throw where it should reject.
    (async () => ask())().then(settle, fail);
  });
}
