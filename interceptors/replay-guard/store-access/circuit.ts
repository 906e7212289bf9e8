import { DatabaseUnavailableError, LockTimeoutError } from '../../database/errors.js';

/** So many failures in a row are an outage. */
const FAILURES = 5;
const PROBE_MS = 1_000;

/**
 * Spares callers the time-outs of a store that is down: after several failures in a row everything is refused
 * at once, until the store answers a probe again.
 */
export class Circuit {
  readonly #probe: () => Promise<void>;
  readonly #changed: (open: boolean) => void;
  #failures = 0;
  /** How often the circuit has closed: what was asked before says nothing of the store since. */
  #closed = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /**
   * @param probe resolves when the store answers
   * @param changed is told when the circuit opens and closes
   */
  constructor(probe: () => Promise<void>, changed: (open: boolean) => void) {
    this.#probe = probe;
    this.#changed = changed;
  }

  /** @throws DatabaseUnavailableError at once while the circuit is open, or as `use` does */
  async pass<T>(use: () => Promise<T>): Promise<T> {
    if (this.#timer) throw new DatabaseUnavailableError('the store failed several times and is being probed');
    const askedAt = this.#closed;
    try {
      const result = await use();
      this.#failures = 0;
      return result;
    } catch (error) {
      if (isOutage(error) && askedAt === this.#closed) this.#failed();
      throw error;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #failed(): void {
    this.#failures++;
    if (this.#failures < FAILURES || this.#timer || this.#stopped) return;
    this.#changed(true);
    this.#probeLater();
  }

  #probeLater(): void {
    this.#timer = setTimeout(async () => {
      const answers = await this.#probe().then(
        () => true,
        () => false,
      );
      if (this.#stopped) return;
      if (answers) this.#close();
      else this.#probeLater();
    }, PROBE_MS).unref();
  }

  #close(): void {
    this.#closed++;
    this.#failures = 0;
    this.#timer = undefined;
    this.#changed(false);
  }
}

/** A lock that is held is no outage: who holds it has the store. */
function isOutage(error: unknown): boolean {
  return error instanceof DatabaseUnavailableError && !(error instanceof LockTimeoutError);
}
