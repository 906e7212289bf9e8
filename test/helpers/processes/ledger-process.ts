import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';
import { connectTo } from '../servers/server.js';
import { Barrier } from '../waiting/barrier.js';

export interface LedgerSettings {
  readonly url: string;
  readonly leaseMs: number;
  readonly waitMs: number;
  /** Whether its handlers wait to be let go. */
  readonly holds?: boolean;
  /** For how long its first handler blocks the whole process, after its write. */
  readonly blocksMs?: number;
  /** Postgres: after how long it ends the session of a transaction in which nothing happens. */
  readonly idleTransactionMs?: number;
}

/** What a held handler is let go by. */
export interface Gone {
  readonly go: string;
}

type Told = { readonly serving: string } | { readonly arrived: string };

const program = fileURLToPath(new URL('ledger-main.js', import.meta.url));

/** A guarded ledger in a process of its own; killed after the test. */
export class LedgerProcess {
  readonly #t: Cleanup;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #address: Promise<string>;
  readonly #arrivals = new Map<string, Barrier>();

  /** @param fileBlocks the largest file that it may write, in blocks of 512 bytes */
  constructor(t: Cleanup, settings: LedgerSettings, fileBlocks?: number) {
    this.#t = t;
    const command = [process.execPath, program, JSON.stringify(settings)] as const;
    const limited = ['sh', '-c', `ulimit -f ${fileBlocks} && exec "$0" "$@"`, ...command] as const;
    const [file, ...args] = fileBlocks ? limited : command;
    const child = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once('close', () => resolve()));
    this.#address = new Promise((resolve, reject) => {
      child.on('message', (told: Told) => {
        if ('serving' in told) resolve(told.serving);
        else void this.#arrival(told.arrived).pass();
      });
      void this.#exited.then(() => reject(new Error('the ledger ended')));
    });
    this.#address.catch(() => {});
    t.teardown(() => this.kill());
  }

  /** A client on a TCP connection of its own. */
  async connect(): Promise<Connection> {
    return connectTo(this.#t, await this.#address);
  }

  /** Resolves when a handler for the account is held. */
  arrived(account: string): Promise<void> {
    return this.#arrival(account).reached();
  }

  letGo(account: string): void {
    this.#child.send({ go: account } satisfies Gone);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal);
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #arrival(account: string): Barrier {
    const arrival = this.#arrivals.get(account) ?? new Barrier();
    this.#arrivals.set(account, arrival);
    return arrival;
  }
}
