import { outsideOfRequests } from '../../context/copies.js';
import { isCommitInDoubt, isContention, isFromDatabase, isOutage } from '../../database/error-kinds.js';
import { DatabaseUnavailableError } from '../../database/errors.js';

/** The number of consecutive failures that opens the circuit. */
const MAX_FAILURES = 5;
const PROBE_INTERVAL_MS = 1_000;

/**
 * A circuit breaker for one kind of operation on a store. After several consecutive failures the circuit opens and
 * refuses every operation at once, without a time-out. The circuit closes when a probe succeeds.
 */
export class Circuit {
  readonly #probe: () => Promise<unknown>;
  readonly #onChange: () => void;
  #failures = 0;
  /** The error of the last failure. It becomes the cause of the refusals. */
  #lastFailure: unknown;
  /** How often the circuit has closed. If an operation started before the last closing, its failure does not count. */
  #closings = 0;
  /** Present while the circuit is open. */
  #nextProbe: NodeJS.Timeout | undefined;
  #isStopped = false;

  /**
   * @param probe resolves when the store answers
   * @param onChange runs after the circuit has opened or closed
   */
  constructor(probe: () => Promise<unknown>, onChange: () => void) {
    this.#probe = probe;
    this.#onChange = onChange;
  }

  /**
   * Begins an operation on the store. The returned number goes to `failed` if the operation fails.
   * @throws DatabaseUnavailableError at once when the circuit is open. Its cause is the error of the last operation.
   */
  begin(): number {
    if (this.#nextProbe)
      throw new DatabaseUnavailableError(
        'the store failed several times in a row, so operations are refused until a probe succeeds',
        { cause: this.#lastFailure },
      );
    return this.#closings;
  }

  /** Counts an operation that succeeded. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** Whether operations are refused at present. */
  get isOpen(): boolean {
    return this.#nextProbe !== undefined;
  }

  /**
   * Counts a failed operation, if its error is a sign of an outage. A lost answer is a sign of an outage. An error that
   * the database itself reports is a sign too, except contention. The statements of the guard are correct, so such an
   * error shows a fault of the database, for example a missing table.
   * @param begun the number that `begin` returned for the operation
   */
  failed(begun: number, error: unknown): void {
    const isSign =
      isOutage(error) || isCommitInDoubt(error) || (isFromDatabase(error) && !isContention(error));
    if (!isSign || begun !== this.#closings) return;
    this.#lastFailure = error;
    this.#countFailure();
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
    this.#onChange();
  }

  #scheduleProbe(): void {
    const probe = async () => {
      const answers = await this.#probe().then(
        () => true,
        () => false,
      );
      if (this.#isStopped) return;
      if (answers) this.#close();
      else this.#scheduleProbe();
    };
    // The call whose failure opens the circuit ends before the probes.
    this.#nextProbe = outsideOfRequests(() => setTimeout(probe, PROBE_INTERVAL_MS).unref());
  }

  #close(): void {
    this.#closings++;
    this.#failures = 0;
    this.#nextProbe = undefined;
    this.#onChange();
  }
}
