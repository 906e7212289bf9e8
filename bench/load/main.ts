// A load process: makes the calls that its parent asks for, and reports how long each call took.
import { Client, credentials } from '@grpc/grpc-js';
import { Calls } from './calls.js';
import type { RunRequest, RunResult } from './messages.js';

/** To each process of the server. */
const CONNECTIONS = 2;
/** A call that takes longer has failed, so that no server can stop the benchmark. */
const TIMEOUT_MS = 30_000;

interface Target {
  readonly clients: readonly Client[];
  readonly calls: Calls;
}

const targets = new Map<string, Target>();

process.on('message', (request) => {
  run(request as RunRequest).then(
    (result) => process.send?.(result),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));

async function run({
  ports,
  work,
  concurrency,
  durationMs,
  minCalls,
  maxCalls,
}: RunRequest): Promise<RunResult> {
  const { clients, calls } = targetAt(ports);
  const { call, max } = calls.of(work);
  const end = Math.min(max, maxCalls);
  const latencies: number[] = [];
  let failures = 0;
  let firstFailure: string | undefined;
  let next = 0;
  const begunAt = performance.now();
  const caller = async (client: Client) => {
    while (next < end && (next < minCalls || performance.now() - begunAt < durationMs)) {
      const calledAt = performance.now();
      try {
        await call(client, next++);
        latencies.push(Math.max(1, Math.round((performance.now() - calledAt) * 1_000)));
      } catch (error) {
        failures++;
        firstFailure ??= String(error);
      }
    }
  };
  await Promise.all(
    Array.from({ length: concurrency }, (_, number) => caller(clients[number % clients.length] as Client)),
  );
  const seconds = (performance.now() - begunAt) / 1_000;
  return {
    seconds,
    latencies: Uint32Array.from(latencies),
    failures,
    ...(firstFailure !== undefined && { firstFailure }),
  };
}

function targetAt(ports: readonly number[]): Target {
  const name = ports.join();
  let target = targets.get(name);
  if (!target) {
    const connect = (port: number) =>
      new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
    // Neighbouring callers use different processes, so that most duplicates meet at two processes.
    const clients = Array.from({ length: CONNECTIONS }, () => ports.map(connect)).flat();
    target = { clients, calls: new Calls(TIMEOUT_MS) };
    targets.set(name, target);
  }
  return target;
}
