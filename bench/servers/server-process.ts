import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Memory, ServerMessage, ServerQuestion, ServerSetup, Usage } from './messages.js';
import { nextMessage } from './next-message.js';

/** How a server process is run. */
export interface ProcessOptions {
  /** The Node binary. Default: the binary of this process. */
  readonly node?: string;
  /** Modules that are loaded before the server, as URLs. */
  readonly preloads?: readonly string[];
  /** Options of Node itself. */
  readonly flags?: readonly string[];
  /** Variables that are added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
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
      execArgv: [
        ...(options.flags ?? []),
        ...(options.preloads ?? []).flatMap((preload) => ['--import', preload]),
      ],
      env: { ...process.env, NODE_ENV: 'production', ...options.env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const message = await nextMessage<ServerMessage>(child);
    if (message.event !== 'listening') throw new Error(`the server sent '${message.event}' before its port`);
    return new ServerProcess(child, message.port);
  }

  /** Returns what the process has used since its start. */
  async usage(): Promise<Usage> {
    const message = await this.#ask('usage');
    if (message.event !== 'usage') throw new Error(`the server sent '${message.event}' instead of its usage`);
    return message.usage;
  }

  /** Returns the memory that the process uses after a garbage collection. Needs the flag `--expose-gc`. */
  async memory(): Promise<Memory> {
    const message = await this.#ask('memory');
    if (message.event !== 'memory')
      throw new Error(`the server sent '${message.event}' instead of its memory`);
    return message.memory;
  }

  #ask(question: ServerQuestion): Promise<ServerMessage> {
    this.#child.send(question);
    return nextMessage<ServerMessage>(this.#child);
  }

  /** Ends the process at once. Resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
