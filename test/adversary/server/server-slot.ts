import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { poll } from '../../helpers/waiting/poll.js';
import type { AdversaryServerSettings } from './settings.js';

const program = fileURLToPath(new URL('server-main.js', import.meta.url));
const RESTART_PAUSE_MS = 200;

/**
 * A server that is restarted whenever its process ends, as a supervisor does. A process that ends after it served, and
 * without a fault that explains the end, is a crash.
 */
export class ServerSlot {
  readonly address: string;
  /** The standard error of the crashed processes. */
  readonly crashes: string[] = [];
  readonly #settings: AdversaryServerSettings;
  readonly #environment: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #isServing = false;
  #isClosed = false;
  #expectsEnd = false;

  /** @param environment additional environment variables of the process */
  constructor(settings: AdversaryServerSettings, environment: Readonly<Record<string, string>> = {}) {
    this.#settings = settings;
    this.#environment = environment;
    this.address = `127.0.0.1:${settings.port}`;
    this.#start();
  }

  /** The process id of the running process. @throws Error when no process runs */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the server has no process');
    return pid;
  }

  /** Resolves when the server serves. */
  serving(withinMs = 30_000): Promise<void> {
    return poll(`the server ${this.address} serves`, () => this.#isServing, withinMs);
  }

  /** Pauses or resumes the process. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }

  /** Kills the process. The next process starts after a short pause. */
  kill(): void {
    this.#expectsEnd = true;
    this.#child?.kill('SIGKILL');
  }

  /** Kills the process and starts no other. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const child = this.#child;
    this.kill();
    if (child) await poll('the server ends', () => child.exitCode !== null || child.signalCode !== null);
  }

  #start(): void {
    if (this.#isClosed) return;
    const child = spawn(process.execPath, [program, JSON.stringify(this.#settings)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { PATH: process.env.PATH, ...this.#environment },
    });
    let complaint = '';
    child.stderr?.on('data', (chunk) => {
      if (complaint.length < 4_000) complaint += chunk;
    });
    child.on('message', () => {
      this.#isServing = true;
    });
    child.once('close', async (code, signal) => {
      const wasServing = this.#isServing;
      this.#isServing = false;
      if (wasServing && !this.#expectsEnd) {
        this.crashes.push(`a server ended with ${signal ?? code}: ${complaint.trim().slice(-1_000)}`);
      } else if (complaint && process.env.ADVERSARY_DEBUG) console.error(complaint);
      this.#expectsEnd = false;
      await pause(RESTART_PAUSE_MS);
      this.#start();
    });
    this.#child = child;
  }
}
