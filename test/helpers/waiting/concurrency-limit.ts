/**
 * Lets so many pieces of work go on at a time: a file whose tests mostly wait should not run them one by one, and
 * all at once they would keep each other waiting.
 */
export function limitConcurrency(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  const ends: Promise<unknown>[] = Array.from({ length: count }, () => Promise.resolve());
  let next = 0;
  return (work) => {
    const lane = next++ % count;
    const done = (ends[lane] as Promise<unknown>).then(work);
    ends[lane] = done.catch(() => {});
    return done;
  };
}
