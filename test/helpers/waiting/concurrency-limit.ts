/**
 * Returns a function that runs at most `count` pieces of work at a time and queues the others. A file of tests that
 * mostly wait runs faster so than one by one, and its tests do not slow each other down.
 */
export function limitConcurrency(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  const queues: Promise<unknown>[] = Array.from({ length: count }, () => Promise.resolve());
  let next = 0;
  return (work) => {
    const queue = next++ % count;
    const done = (queues[queue] as Promise<unknown>).then(work);
    queues[queue] = done.catch(() => {});
    return done;
  };
}
