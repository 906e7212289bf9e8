/** How long the database may take to answer before the server counts as not ready. */
const PING_LIMIT_MS = 2_000;

/** Whether this server should be sent calls. Starts as not ready; the database is asked at every look. */
export class Readiness {
  #obstacle: string | undefined = 'starting';
  #ping: (() => Promise<void>) | undefined;
  #looking: Promise<string | undefined> | undefined;

  /** Ready from now on, as long as the database answers. */
  serve(ping: () => Promise<void>): void {
    this.#ping = ping;
    this.#obstacle = undefined;
  }

  /** Not ready, for the given reason, until `serve` is called. */
  block(reason: string): void {
    this.#obstacle = reason;
  }

  /** Why the server is not ready; undefined when it is. Answers within a bounded time. */
  async obstacle(): Promise<string | undefined> {
    if (this.#obstacle) return this.#obstacle;
    // Looks share a ping, so that many probes of a database that hangs do not use its connections up.
    this.#looking ??= within(PING_LIMIT_MS, this.#look(), 'the database does not answer').finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<string | undefined> {
    try {
      await this.#ping?.();
      return this.#obstacle;
    } catch {
      return 'the database is unavailable';
    }
  }
}

/** What `work` resolves with, or `otherwise` when it takes longer than `ms`. */
async function within<T>(ms: number, work: Promise<T>, otherwise: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((resolve) => {
    timer = setTimeout(resolve, ms, otherwise);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
