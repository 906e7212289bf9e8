import { DatabaseUnavailableError, LockTimeoutError } from '../../database/errors.js';

/** The number of consecutive failures that opens the circuit. */
const MAX_FAILURES = 5;
const PROBE_INTERVAL_MS = 1_000;

/**
 * A circuit breaker for a store that is down. After several consecutive failures the circuit opens and refuses every
 * operation at once, without a time-out. The circuit closes when the store answers a probe.
 */
export class Circuit {
  readonly #probe: () => Promise<void>;
  readonly #onChange: (open: boolean) => void;
  #failures = 0;
  /** How often the circuit has closed. If an operation started before the last closing, its failure does not count. */
  #closings = 0;
  /** Present while the circuit is open. */
  #nextProbe: NodeJS.Timeout | undefined;
  #isStopped = false;

  /**
   * @param probe resolves when the store answers
   * @param onChange runs when the circuit opens or closes
   */
  constructor(probe: () => Promise<void>, onChange: (open: boolean) => void) {
    this.#probe = probe;
    this.#onChange = onChange;
  }

  /**
   * Begins an operation on the store. The returned number goes to `failed` if the operation fails.
   * @throws DatabaseUnavailableError at once when the circuit is open
   */
  begin(): number {
    if (this.#nextProbe)
      throw new DatabaseUnavailableError(
        'the store failed several times in a row, so operations are refused until the store answers a probe',
      );
    return this.#closings;
  }

  /** Counts an operation that succeeded. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** Counts an operation that failed. @param begun the number that `begin` returned for the operation */
  failed(begun: number, error: unknown): void {
    if (isOutage(error) && begun === this.#closings) this.#countFailure();
  }

  /** Ends the probes. The circuit keeps its state. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#nextProbe);
  }

  #countFailure(): void {
    this.#failures++;
    if (this.#failures < MAX_FAILURES || this.#nextProbe || this.#isStopped) return;
    this.#scheduleProbe();
    this.#onChange(true);
  }

  #scheduleProbe(): void {
    this.#nextProbe = setTimeout(async () => {
      const answers = await this.#probe().then(
        () => true,
        () => false,
      );
      if (this.#isStopped) return;
      if (answers) this.#close();
      else this.#scheduleProbe();
    }, PROBE_INTERVAL_MS).unref();
  }

  #close(): void {
    this.#closings++;
    this.#failures = 0;
    this.#nextProbe = undefined;
    this.#onChange(false);
  }
}

/**
 * Whether an error is a sign of an outage. A lock time-out is not, because another transaction holds the lock and the
 * store works.
 */
function isOutage(error: unknown): boolean {
  return error instanceof DatabaseUnavailableError && !(error instanceof LockTimeoutError);
}
