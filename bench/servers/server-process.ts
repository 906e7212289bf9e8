import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ServerMessage, ServerSetup, Usage } from './messages.js';
import { nextMessage } from './next-message.js';

/** How a server process is run. */
export interface ProcessOptions {
  /** The Node binary. Default: the binary of this process. */
  readonly node?: string;
  /** Modules that are loaded before the server, as URLs. */
  readonly preloads?: readonly string[];
}

/** A server in a process of its own, so that its CPU time is not mixed with the time of the load. */
export class ServerProcess {
  readonly port: number;
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    this.pid = child.pid ?? 0;
  }

  /**
   * Resolves when the server listens.
   * @throws Error when the process ends before it listens
   */
  static async start(setup: ServerSetup, options: ProcessOptions = {}): Promise<ServerProcess> {
    const program = fileURLToPath(new URL('main.js', import.meta.url));
    const child = fork(program, [JSON.stringify(setup)], {
      execPath: options.node ?? process.execPath,
      execArgv: (options.preloads ?? []).flatMap((preload) => ['--import', preload]),
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const message = await nextMessage<ServerMessage>(child);
    if (message.event !== 'listening') throw new Error(`the server sent '${message.event}' before its port`);
    return new ServerProcess(child, message.port);
  }

  /** Returns what the process has used since its start. */
  async usage(): Promise<Usage> {
    this.#child.send('usage');
    const message = await nextMessage<ServerMessage>(this.#child);
    if (message.event !== 'usage') throw new Error(`the server sent '${message.event}' instead of its usage`);
    return message.usage;
  }

  /** Ends the process at once. Resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
