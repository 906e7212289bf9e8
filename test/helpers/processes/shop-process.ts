import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../databases/postgres.js';

/** A JSON line of the server's log. */
export type LogLine = Record<string, unknown> & { msg?: string };

/** The exit code or the signal that ended a process. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const program = fileURLToPath(new URL('../../../main.js', import.meta.url));

/** The shop's server in a separate process, `node dist/main.js`. It is killed after the test. */
export class ServerProcess {
  /** The log lines so far. A line that is not JSON becomes `{ msg }`. */
  readonly log: LogLine[] = [];
  /** The bytes that the process has written so far to stdout and stderr. */
  readonly output: Buffer[] = [];
  readonly exited: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #env: Record<string, string>;
  readonly #waiters = new Set<() => void>();

  /** @param env the settings. By default the listeners use free ports. */
  constructor(t: Cleanup, env: Record<string, string>) {
    this.#env = env;
    const child = spawn(process.execPath, [program], {
      // The server does not inherit the settings of the test's environment.
      env: { PATH: process.env.PATH, GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#addLine(line));
      stream.on('data', (chunk: Buffer) => this.output.push(chunk));
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal });
        this.#wakeWaiters();
      });
    });
    t.teardown(() => this.kill());
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Resolves to the `host:port` of gRPC when the server is ready. @throws Error when the process ends first */
  async grpcAddress(): Promise<string> {
    return formatted((await this.logged('serving')).grpc);
  }

  /** Resolves to the `host:port` of /metrics, /livez and /readyz. @throws Error when the process ends first */
  async opsAddress(): Promise<string> {
    return formatted((await this.logged('serving')).ops);
  }

  /** Resolves to the first line with the message, past or future. @throws Error when the process ends first */
  async logged(message: string): Promise<LogLine> {
    for (;;) {
      const line = this.log.find(({ msg }) => msg === message);
      if (line) return line;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the server ended before "${message}": ${JSON.stringify(this.log)}`);
      }
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Kills the process with SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Sends SIGTERM, as an operator does, and waits for the end of the process. */
  stop(): Promise<Ending> {
    this.signal('SIGTERM');
    return this.exited;
  }

  /** Starts the server again on the same ports after its end. */
  async restart(t: Cleanup): Promise<ServerProcess> {
    const [GRPC_ADDRESS, OPS_ADDRESS] = [await this.grpcAddress(), await this.opsAddress()];
    await this.exited;
    return new ServerProcess(t, { ...this.#env, GRPC_ADDRESS, OPS_ADDRESS });
  }

  #addLine(line: string): void {
    try {
      this.log.push(JSON.parse(line));
    } catch {
      this.log.push({ msg: line });
    }
    this.#wakeWaiters();
  }

  #wakeWaiters(): void {
    for (const resolve of this.#waiters) resolve();
    this.#waiters.clear();
  }
}

function formatted(address: unknown): string {
  const { host, port } = address as { host: string; port: number };
  return `${host}:${port}`;
}
