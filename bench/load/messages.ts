import type { Work } from '../servers/subject.js';

/** One run of calls that a load process makes. */
export interface RunRequest {
  /** The ports of the server's processes. The calls are spread over them. */
  readonly ports: readonly number[];
  readonly work: Work;
  /** How many calls are running at the same time. */
  readonly concurrency: number;
  /** No call starts after this time, in milliseconds, when `minCalls` have started. */
  readonly durationMs: number;
  readonly minCalls: number;
  /** No more calls than this number. */
  readonly maxCalls: number;
}

/** What a run of calls measured. */
export interface RunResult {
  /** From the first call to the last reply, in seconds. */
  readonly seconds: number;
  /** The time of each call that succeeded, in microseconds. */
  readonly latencies: Uint32Array;
  readonly failures: number;
  /** The message of the first failure. */
  readonly firstFailure?: string;
}
