import { type ChildProcess, fork } from 'node:child_process';
import { createHistogram } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { nextMessage } from '../servers/next-message.js';
import type { ServerProcess } from '../servers/server-process.js';
import type { Work } from '../servers/subject.js';
import type { RunRequest, RunResult } from './messages.js';

/** What one run of calls cost. */
export interface Measure {
  readonly callsPerSecond: number;
  /** CPU time of the server process for one call, in microseconds. */
  readonly cpuMicros: number;
  /** Half of the calls took at most this time, in milliseconds. */
  readonly p50Ms: number;
  /** 99 of 100 calls took at most this time, in milliseconds. */
  readonly p99Ms: number;
  readonly calls: number;
  readonly failures: number;
  readonly firstFailure?: string;
}

/** What a run of calls is. */
export interface Run {
  readonly work: Work;
  readonly concurrency: number;
  readonly durationMs?: number;
  readonly maxCalls?: number;
}

const PROCESSES = 2;

/** Processes that make calls, so that the load takes no time of the servers' event loops. */
export class Load {
  readonly #processes: readonly ChildProcess[];

  constructor(processes = PROCESSES) {
    const program = fileURLToPath(new URL('main.js', import.meta.url));
    this.#processes = Array.from({ length: processes }, () =>
      fork(program, [], {
        execArgv: [],
        serialization: 'advanced',
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      }),
    );
  }

  /** Makes calls to one server and measures them. */
  async measure(server: ServerProcess, run: Run): Promise<Measure> {
    const { cpuMicros: before } = await server.usage();
    const results = await this.run(server, run);
    const { cpuMicros: after } = await server.usage();
    const histogram = createHistogram();
    for (const { latencies } of results) for (const micros of latencies) histogram.record(micros);
    const calls = histogram.count;
    const failures = results.reduce((sum, result) => sum + result.failures, 0);
    const firstFailure = results.find((result) => result.firstFailure !== undefined)?.firstFailure;
    return {
      callsPerSecond: calls / Math.max(...results.map(({ seconds }) => seconds)),
      cpuMicros: (after - before) / (calls + failures),
      p50Ms: histogram.percentile(50) / 1_000,
      p99Ms: histogram.percentile(99) / 1_000,
      calls,
      failures,
      ...(firstFailure !== undefined && { firstFailure }),
    };
  }

  /** Makes calls to one server; concurrency and calls are shared out among the load processes. */
  run(server: ServerProcess, run: Run): Promise<RunResult[]> {
    const { work, concurrency, durationMs = 600_000, maxCalls = Number.MAX_SAFE_INTEGER } = run;
    const processes = this.#processes.slice(0, concurrency);
    return Promise.all(
      processes.map((child, number) =>
        ask(child, {
          port: server.port,
          work,
          concurrency: share(concurrency, processes.length, number),
          durationMs,
          maxCalls: share(maxCalls, processes.length, number),
        }),
      ),
    );
  }

  stop(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
  }
}

function share(total: number, parts: number, part: number): number {
  return Math.floor(total / parts) + (part < total % parts ? 1 : 0);
}

function ask(child: ChildProcess, request: RunRequest): Promise<RunResult> {
  child.send(request);
  return nextMessage(child);
}
