import type { Subject } from './subject.js';
import { type WorkName, work } from './work.js';

/** The cost of one round of calls. */
export interface Measure {
  readonly callsPerSecond: number;
  /** The CPU time of the server per call, in microseconds. */
  readonly cpuMicrosPerCall: number;
}

/** Makes `calls` calls with at most `concurrency` concurrent calls. Resolves to their cost. */
export async function measure(
  subject: Subject,
  name: WorkName,
  calls: number,
  concurrency: number,
): Promise<Measure> {
  const cpuBefore = await subject.cpuMicros();
  const start = performance.now();
  let next = 0;
  const caller = async (number: number) => {
    const client = subject.clients[number % subject.clients.length];
    while (client && next < calls) await work[name](client, next++);
  };
  await Promise.all(Array.from({ length: concurrency }, (_, number) => caller(number)));
  const seconds = (performance.now() - start) / 1_000;
  const cpuAfter = await subject.cpuMicros();
  return { callsPerSecond: calls / seconds, cpuMicrosPerCall: (cpuAfter - cpuBefore) / calls };
}
