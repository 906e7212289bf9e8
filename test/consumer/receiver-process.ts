import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../helpers/databases/postgres.js';
import type { Attempt } from './flaky-work.js';

/** The settings of a receiver process. */
export interface ReceiverSettings {
  readonly url: string;
  readonly messages: readonly string[];
  /** The number of concurrent deliveries of each message. */
  readonly deliveries: number;
  /** The seed of the simulated crashes. */
  readonly seed: number;
  /**
   * The number of the work call that never ends. The receiver gets stuck at this call, or at the first later
   * call after a message was processed. Default: never.
   */
  readonly stuckAt?: number | undefined;
}

/** A message of a receiver process to its parent: the receiver is stuck, or the results of deliveries. */
export type ReceiverMessage =
  | { readonly stuck: true }
  | { readonly attempts: readonly [message: string, Attempt][] };

const program = fileURLToPath(new URL('receiver-main.js', import.meta.url));

/** A receiver of all messages in a separate process. The process is killed after the test. */
export class ReceiverProcess {
  readonly stuck: Promise<void>;
  /** Resolves when every delivery has been acknowledged. */
  readonly done: Promise<void>;
  readonly acknowledged: string[] = [];
  /** The number of simulated crashes. */
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
      child.on('message', (message: ReceiverMessage) => {
        if ('stuck' in message) resolve();
        else for (const attempt of message.attempts) this.#note(...attempt);
      });
      void this.#ended.then(() => reject(new Error('the receiver ended')));
    });
    this.done = this.#ended.then((code) => {
      if (code !== 0) throw new Error(`the receiver ended with code ${code}`);
    });
    for (const outcome of [this.stuck, this.done]) outcome.catch(() => {});
    t.teardown(() => this.kill());
  }

  /** Sends SIGKILL. Resolves when the process has ended. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #note(message: string, attempt: Attempt): void {
    if (attempt === 'crashed') this.crashes++;
    else if (attempt !== 'later') this.acknowledged.push(message);
  }
}
