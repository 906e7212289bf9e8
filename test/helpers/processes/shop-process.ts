import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../databases/postgres.js';

/** One JSON line that the server logged. */
export type LogLine = Record<string, unknown> & { msg?: string };

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const program = fileURLToPath(new URL('../../../main.js', import.meta.url));

/** The shop's server in a process of its own, `node dist/main.js`; killed after the test. */
export class ServerProcess {
  /** What it logged so far; lines that are no JSON stand as `{ msg }`. */
  readonly log: LogLine[] = [];
  readonly exited: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #env: Record<string, string>;
  readonly #watchers = new Set<() => void>();

  /** @param env the settings; listeners take free ports unless it says otherwise */
  constructor(t: Cleanup, env: Record<string, string>) {
    this.#env = env;
    const child = spawn(process.execPath, [program], {
      // Settings of the surroundings stay outside.
      env: { PATH: process.env.PATH, GRPC_ADDRESS: '127.0.0.1:0', OPS_ADDRESS: '127.0.0.1:0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#heard(line));
    }
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal });
        this.#tell();
      });
    });
    t.teardown(() => this.kill());
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Where gRPC is served, `host:port`, once it is. @throws when the process ends before */
  async grpcAddress(): Promise<string> {
    return formatted((await this.logged('serving')).grpc);
  }

  /** Where /metrics, /livez and /readyz are served, `host:port`. @throws when the process ends before */
  async opsAddress(): Promise<string> {
    return formatted((await this.logged('serving')).ops);
  }

  /** Resolves with the first line of that message, past or to come. @throws when the process ends before */
  async logged(message: string): Promise<LogLine> {
    for (;;) {
      const line = this.log.find(({ msg }) => msg === message);
      if (line) return line;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the server ended before "${message}": ${JSON.stringify(this.log)}`);
      }
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Asks it to end, as an operator does, and waits. */
  stop(): Promise<Ending> {
    this.signal('SIGTERM');
    return this.exited;
  }

  /** Starts it again, on the ports that it had, once it has ended. */
  async restart(t: Cleanup): Promise<ServerProcess> {
    const [GRPC_ADDRESS, OPS_ADDRESS] = [await this.grpcAddress(), await this.opsAddress()];
    await this.exited;
    return new ServerProcess(t, { ...this.#env, GRPC_ADDRESS, OPS_ADDRESS });
  }

  #heard(line: string): void {
    try {
      this.log.push(JSON.parse(line));
    } catch {
      this.log.push({ msg: line });
    }
    this.#tell();
  }

  #tell(): void {
    for (const resolve of this.#watchers) resolve();
    this.#watchers.clear();
  }
}

function formatted(address: unknown): string {
  const { host, port } = address as { host: string; port: number };
  return `${host}:${port}`;
}
