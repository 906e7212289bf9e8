import { within } from 'grpc-replay-guard/timing';
import { RepeatingTask } from '../platform/repeating-task.js';

/** The maximum time for an answer of the database, in milliseconds. A slower database makes the server not ready. */
const PING_TIMEOUT_MS = 2_000;
/** A result of a check is valid for this time, in milliseconds. A check commits a transaction. */
const VALID_MS = 1_000;
/** The pause between two checks in the background, while the server is ready and while it is not. */
const INTERVAL_MS = 5_000;
const RECOVERY_INTERVAL_MS = 1_000;

/** The reasons that `/readyz` gives for an error of the database, by the code of the error. */
const reasons: Readonly<Record<string, string>> = {
  REPLAY_GUARD_DATABASE_READ_ONLY: 'the database is read-only',
  REPLAY_GUARD_DATABASE_REPLACED: 'the file of the database was deleted or replaced',
  REPLAY_GUARD_LOCK_TIMEOUT: 'the database is locked',
};

/**
 * Receives each change.
 * @param obstacle why the server is not ready; undefined if it is ready
 * @param error the error of the database, if it is the reason
 */
export type ReadinessListener = (obstacle: string | undefined, error?: unknown) => void;

/**
 * Decides whether this server should receive calls. The server starts as not ready. At each request and in the
 * background, a check asks the database whether a call could succeed.
 */
export class Readiness {
  #obstacle: string | undefined = 'starting';
  #ping: (() => Promise<void>) | undefined;
  #listener: ReadinessListener = () => {};
  /** The result that the listener has received last. */
  #reported: string | undefined = 'starting';
  #check: Promise<string | undefined> | undefined;
  #readyUntil = 0;
  readonly #task = new RepeatingTask({
    run: async () => {
      if (await this.obstacle()) this.#task.wakeIn(RECOVERY_INTERVAL_MS);
    },
    intervalMs: INTERVAL_MS,
    onError: () => {},
    keepsProcessAlive: false,
  });

  /** Makes the server ready while `ping` resolves. */
  serve(ping: () => Promise<void>, listener: ReadinessListener = () => {}): void {
    this.#ping = ping;
    this.#listener = listener;
    this.#obstacle = undefined;
    this.#task.start();
  }

  /** Makes the server not ready, for the given reason, until `serve` is called. */
  block(reason: string): void {
    this.#obstacle = reason;
    void this.#task.stop();
  }

  /** Whether the server was ready at the last check. */
  get isReady(): boolean {
    return this.#obstacle === undefined && this.#reported === undefined;
  }

  /** Resolves to the reason why the server is not ready, or to undefined if it is ready. Takes 2 s at most. */
  async obstacle(): Promise<string | undefined> {
    if (this.#obstacle) return this.#obstacle;
    if (performance.now() < this.#readyUntil) return undefined;
    // Concurrent checks share one ping, so that probes of a hanging database do not occupy its connections.
    this.#check ??= within(this.#databaseObstacle(), {
      ms: PING_TIMEOUT_MS,
      otherwise: () => this.#report('the database does not answer'),
    }).finally(() => {
      this.#check = undefined;
    });
    return this.#check;
  }

  async #databaseObstacle(): Promise<string | undefined> {
    try {
      await this.#ping?.();
      return this.#report(undefined);
    } catch (error) {
      const code = codeOf(error);
      // The database works. Calls of this process use every connection, and the next call waits for one of them.
      if (code === 'REPLAY_GUARD_NO_CONNECTION') return this.#report(undefined);
      return this.#report(reasons[code] ?? `the database is unavailable${detail(error)}`, error);
    }
  }

  /** Reports a change to the listener. Returns the obstacle of the server. */
  #report(obstacle: string | undefined, error?: unknown): string | undefined {
    // The server may have been blocked during the check.
    if (this.#obstacle) return this.#obstacle;
    this.#readyUntil = obstacle ? 0 : performance.now() + VALID_MS;
    if (obstacle !== this.#reported) {
      this.#reported = obstacle;
      this.#listener(obstacle, error);
    }
    return obstacle;
  }
}

/** Returns the code of the innermost error, such as SQLITE_FULL. Messages may contain addresses and names of users. */
function detail(error: unknown): string {
  let code = '';
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!codeOf(cause).startsWith('REPLAY_GUARD')) code = codeOf(cause) || code;
  }
  return code ? ` (${code})` : '';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
