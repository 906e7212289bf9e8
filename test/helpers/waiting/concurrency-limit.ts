/**
 * Returns a function that runs at most `count` pieces of work at a time and queues the rest. Tests that mostly wait
 * finish sooner if they run concurrently, but too many concurrent tests slow each other down.
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
