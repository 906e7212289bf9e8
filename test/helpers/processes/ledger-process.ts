import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';
import { connectTo } from '../servers/server.js';
import { Barrier } from '../waiting/barrier.js';

/** The settings of a ledger process. */
export interface LedgerSettings {
  /** The URL of the database. */
  readonly url: string;
  readonly leaseMs: number;
  readonly waitMs: number;
  /** Whether each handler waits for `release`. Default: false. */
  readonly holdHandlers?: boolean;
  /** How long the first handler blocks the event loop after its write. Default: 0. */
  readonly blockMs?: number;
  /**
   * Whether each handler fails with NOT_FOUND after its write. With 'held', the process pauses between the rollback and
   * the storage of the failure, until `release(ROLLED_BACK)`. Default: handlers succeed.
   */
  readonly failures?: 'held' | 'stored';
  /** Postgres only: `idle_in_transaction_session_timeout`. */
  readonly idleTransactionMs?: number;
}

/** Stands for the account of a held handler when a rollback is held. */
export const ROLLED_BACK = 'rolled back';

/** The message that releases the held handler of an account. */
export interface ReleaseMessage {
  readonly release: string;
}

type ServerMessage = { readonly serving: string } | { readonly held: string };

const program = fileURLToPath(new URL('ledger-main.js', import.meta.url));

/** A guarded ledger in a separate process. The process is killed after the test. */
export class LedgerProcess {
  readonly #t: Cleanup;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #address: Promise<string>;
  readonly #held = new Map<string, Barrier>();

  /** @param fileBlocks the maximum size of files that the process writes, in blocks of 512 bytes; default: no limit */
  constructor(t: Cleanup, settings: LedgerSettings, fileBlocks?: number) {
    this.#t = t;
    const command = [process.execPath, program, JSON.stringify(settings)] as const;
    const limited = ['sh', '-c', `ulimit -f ${fileBlocks} && exec "$0" "$@"`, ...command] as const;
    const [file, ...args] = fileBlocks ? limited : command;
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('close', () => resolve()));
    this.#address = new Promise((resolve, reject) => {
      child.on('message', (message: ServerMessage) => {
        if ('serving' in message) resolve(message.serving);
        else void this.#barrierOf(message.held).pass();
      });
      void this.#exited.then(() => reject(new Error('the ledger process ended before it served')));
    });
    this.#address.catch(() => {});
    t.teardown(() => this.kill());
  }

  /** Opens a client with a TCP connection of its own. */
  async connect(): Promise<Connection> {
    return connectTo(this.#t, await this.#address);
  }

  /** Resolves when a handler for the account is held. */
  handlerHeld(account: string): Promise<void> {
    return this.#barrierOf(account).reached();
  }

  /** Releases the held handler of the account. */
  release(account: string): void {
    this.#child.send({ release: account } satisfies ReleaseMessage);
  }

  /** Pauses or resumes the process. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** Sends SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #barrierOf(account: string): Barrier {
    const barrier = this.#held.get(account) ?? new Barrier();
    this.#held.set(account, barrier);
    return barrier;
  }
}
