import { type ChildProcess, fork } from 'node:child_process';
import { createHistogram } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nextMessage } from '../servers/next-message.js';
import type { ServerProcess } from '../servers/server-process.js';
import type { Work } from '../servers/subject.js';
import type { RunRequest, RunResult } from './messages.js';

/** What one run of calls cost. */
export interface Measure {
  readonly callsPerSecond: number;
  /** CPU time of all threads of the server's processes for one call, in microseconds. */
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
  /** Default: 10 minutes. */
  readonly durationMs?: number;
  /** Calls that are made even if the time is over. Default: 0. */
  readonly minCalls?: number;
  /** Default: no limit. */
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

  /**
   * Makes calls to one server and measures them.
   * @param servers the processes of the server
   */
  async measure(servers: readonly ServerProcess[], run: Run): Promise<Measure> {
    const before = await cpuMicrosOf(servers);
    const results = await this.run(servers, run);
    // The deliveries of the orders belong to the calls, and must not burden the next measurement.
    const after = await (run.work === 'PlaceOrder, new key' ? cpuMicrosWhenIdle : cpuMicrosOf)(servers);
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
  run(servers: readonly ServerProcess[], run: Run): Promise<RunResult[]> {
    const { work, concurrency, durationMs = 600_000, minCalls = 0, maxCalls = Number.MAX_SAFE_INTEGER } = run;
    const processes = this.#processes.slice(0, concurrency);
    return Promise.all(
      processes.map((child, number) =>
        ask(child, {
          ports: servers.map(({ port }) => port),
          work,
          concurrency: share(concurrency, processes.length, number),
          durationMs,
          minCalls: share(minCalls, processes.length, number),
          maxCalls: share(maxCalls, processes.length, number),
        }),
      ),
    );
  }

  stop(): void {
    for (const child of this.#processes) child.kill('SIGKILL');
  }
}

const CHECK_MS = 50;
const MAX_CHECKS = 100;
/** A server that uses less CPU time than this between two checks is idle, in microseconds. */
const IDLE_MICROS = 5_000;

async function cpuMicrosOf(servers: readonly ServerProcess[]): Promise<number> {
  const usages = await Promise.all(servers.map((server) => server.usage()));
  return usages.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0);
}

/** Resolves to the CPU time after the work that calls have left to the server. */
async function cpuMicrosWhenIdle(servers: readonly ServerProcess[]): Promise<number> {
  let last = await cpuMicrosOf(servers);
  for (let check = 0; check < MAX_CHECKS; check++) {
    await delay(CHECK_MS);
    const now = await cpuMicrosOf(servers);
    if (now - last < IDLE_MICROS) return now;
    last = now;
  }
  return last;
}

function share(total: number, parts: number, part: number): number {
  return Math.floor(total / parts) + (part < total % parts ? 1 : 0);
}

function ask(child: ChildProcess, request: RunRequest): Promise<RunResult> {
  child.send(request);
  return nextMessage(child);
}
