import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../helpers/databases/postgres.js';
import type { Attempt } from './flaky-work.js';

export interface ReceiverSettings {
  readonly url: string;
  readonly messages: readonly string[];
  /** How many deliveries of each message it is given at once. */
  readonly deliveries: number;
  /** What chance follows from. */
  readonly seed: number;
  /** The work that it gets stuck in, half done, or one after it when something has been processed; never where left out. */
  readonly stuckAt?: number | undefined;
}

/** What it tells its parent: it is stuck; what attempts at messages came to. */
export type Told = { readonly stuck: true } | { readonly attempts: readonly [message: string, Attempt][] };

const program = fileURLToPath(new URL('receiver-main.js', import.meta.url));

/** A receiver of all messages in a process of its own; killed after the test. */
export class ReceiverProcess {
  readonly stuck: Promise<void>;
  /** Resolves when every delivery has been acknowledged. */
  readonly done: Promise<void>;
  readonly acknowledged: string[] = [];
  /** How often a work crashed. */
  crashes = 0;
  readonly #child;
  readonly #ended: Promise<number | null>;

  constructor(t: Cleanup, settings: ReceiverSettings) {
    const child = spawn(process.execPath, [program, JSON.stringify(settings)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('close', resolve));
    this.stuck = new Promise((resolve, reject) => {
      child.on('message', (told: Told) => {
        if ('stuck' in told) resolve();
        else for (const attempt of told.attempts) this.#note(...attempt);
      });
      void this.#ended.then(() => reject(new Error('the receiver ended')));
    });
    this.done = this.#ended.then((code) => {
      if (code !== 0) throw new Error(`the receiver ended with code ${code}`);
    });
    for (const outcome of [this.stuck, this.done]) outcome.catch(() => {});
    t.teardown(() => this.kill());
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #note(message: string, attempt: Attempt): void {
    if (attempt === 'crashed') this.crashes++;
    else if (attempt !== 'later') this.acknowledged.push(message);
  }
}
