import { within } from 'grpc-replay-guard/timing';

/** The maximum time for an answer of the database, in milliseconds. A slower database makes the server not ready. */
const PING_TIMEOUT_MS = 2_000;

/** Decides whether this server should receive calls. It starts as not ready and pings the database at each check. */
export class Readiness {
  #obstacle: string | undefined = 'starting';
  #ping: (() => Promise<void>) | undefined;
  #check: Promise<string | undefined> | undefined;

  /** Makes the server ready while the database answers `ping`. */
  serve(ping: () => Promise<void>): void {
    this.#ping = ping;
    this.#obstacle = undefined;
  }

  /** Makes the server not ready, for the given reason, until `serve` is called. */
  block(reason: string): void {
    this.#obstacle = reason;
  }

  /** Resolves to the reason why the server is not ready, or to undefined if it is ready. Takes 2 s at most. */
  async obstacle(): Promise<string | undefined> {
    if (this.#obstacle) return this.#obstacle;
    // Concurrent checks share one ping, so that probes of a hanging database do not occupy its connections.
    this.#check ??= within(this.#databaseObstacle(), {
      ms: PING_TIMEOUT_MS,
      otherwise: () => 'the database does not answer',
    }).finally(() => {
      this.#check = undefined;
    });
    return this.#check;
  }

  async #databaseObstacle(): Promise<string | undefined> {
    try {
      await this.#ping?.();
      return this.#obstacle;
    } catch {
      return 'the database is unavailable';
    }
  }
}
