import { CommitInDoubtError, DatabaseUnavailableError } from '../../database/errors.js';
import type {
  Claim,
  ClaimRequest,
  ClaimResult,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
  PurgedBatch,
} from '../../store/store.js';
import { within } from '../../timing/timeout.js';
import type { ReplayGuardObserver, StoreOperation } from '../observer.js';
import { Circuit } from './circuit.js';

/**
 * The time limit of one probe of a store that is down. After this limit the next probe can start, even if the store
 * has not answered.
 */
const MAX_PROBE_MS = 5_000;
/** The maximum number of records that one erase statement changes. */
const ERASE_BATCH_SIZE = 500;

/** The time limit of an operation on the store. */
interface Limit<T> {
  readonly ms: number;
  /** Creates the error that is thrown at the limit. Default: DatabaseUnavailableError. */
  readonly timeoutError?: () => Error;
  /** Receives the result of an operation that resolves after the limit. */
  readonly late?: (result: T) => void;
}

/**
 * The store as the guard uses it. Each operation has a time limit, and its duration and error go to the observer.
 * Claims and look-ups use the circuit breaker. While the store is down, they fail at once with
 * DatabaseUnavailableError.
 */
export class ObservedStore {
  readonly #store: IdempotencyStore;
  readonly #observer: ReplayGuardObserver;
  readonly #timeoutMs: number;
  readonly #circuit: Circuit;

  /** @param timeoutMs the time limit of one operation, in milliseconds. The operation itself cannot be stopped. */
  constructor(store: IdempotencyStore, observer: ReplayGuardObserver, timeoutMs: number) {
    this.#store = store;
    this.#observer = observer;
    this.#timeoutMs = timeoutMs;
    this.#circuit = new Circuit(
      () => limited(() => store.ping(), { ms: Math.min(timeoutMs, MAX_PROBE_MS) }),
      (open) => observer.circuitChanged(open),
    );
  }

  claim(request: ClaimRequest): Promise<ClaimResult> {
    return this.#throughCircuit(
      'claim',
      () => this.#store.claim(request),
      (result) => {
        // The claim was reported as failed at the time limit, so a late claim has no execution.
        if (result.outcome === 'claimed') void this.release(result.claim);
      },
    );
  }

  find(id: Buffer): Promise<FoundRecord | undefined> {
    return this.#throughCircuit('find', () => this.#store.find(id));
  }

  findProducer(id: Buffer): Promise<FoundProducer | undefined> {
    return this.#throughCircuit('find', () => this.#store.findProducer(id));
  }

  countLive(scope: string, atMost: number): Promise<number> {
    return this.#throughCircuit('count', () => this.#store.countLive(scope, atMost));
  }

  renew(claim: Claim): Promise<void> {
    return this.#observed('renew', () => claim.renew());
  }

  /** @throws CommitInDoubtError also when the store does not answer in time */
  complete(claim: Claim, reply: Buffer): Promise<void> {
    return this.#commit('complete', () => claim.complete(reply));
  }

  /** @throws CommitInDoubtError also when the store does not answer in time */
  fail(claim: Claim, reply: Buffer): Promise<void> {
    return this.#commit('fail', () => claim.fail(reply));
  }

  /** Never rejects. When the release fails, the key is free after its lease has expired. */
  async release(claim: Claim): Promise<void> {
    await this.#observed('release', () => claim.release()).catch(() => {});
  }

  purge(limit: number, after?: string): Promise<PurgedBatch> {
    return this.#observed('purge', () => this.#store.purge(limit, after));
  }

  /**
   * Erases all completed records of a scope, in batches of bounded size.
   * @returns the number of erased records
   * @throws DatabaseUnavailableError, CommitInDoubtError when a batch failed; another call erases the remaining
   *   records
   */
  async eraseScope(scope: string): Promise<number> {
    let total = 0;
    for (;;) {
      const erased = await this.#observed('erase', () => this.#store.erase(scope, ERASE_BATCH_SIZE));
      total += erased;
      if (erased < ERASE_BATCH_SIZE) return total;
    }
  }

  estimateRecords(): Promise<number> {
    return limited(() => this.#store.estimateRecords(), { ms: this.#timeoutMs });
  }

  /** Ends the probes of a store that is down. */
  stop(): void {
    this.#circuit.stop();
  }

  #throughCircuit<T>(
    operation: StoreOperation,
    use: () => Promise<T>,
    late?: (result: T) => void,
  ): Promise<T> {
    return this.#circuit.run(() => this.#observed(operation, use, { ...(late && { late }) }));
  }

  #commit(operation: StoreOperation, use: () => Promise<void>): Promise<void> {
    const timeoutError = () => new CommitInDoubtError('the store did not answer the commit in time');
    return this.#observed(operation, use, { timeoutError });
  }

  async #observed<T>(
    operation: StoreOperation,
    use: () => Promise<T>,
    limit: Omit<Limit<T>, 'ms'> = {},
  ): Promise<T> {
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1_000;
    try {
      const result = await limited(use, { ...limit, ms: this.#timeoutMs });
      this.#observer.storeUsed(operation, seconds());
      return result;
    } catch (error) {
      this.#observer.storeUsed(operation, seconds(), error);
      throw error;
    }
  }
}

function limited<T>(use: () => Promise<T>, { ms, timeoutError = noAnswer, late }: Limit<T>): Promise<T> {
  // A store from another author may throw synchronously instead of rejecting.
  const work = (async () => use())();
  const otherwise = (): never => {
    throw timeoutError();
  };
  return within(work, { ms, otherwise, ...(late && { late }) });
}

function noAnswer(): Error {
  return new DatabaseUnavailableError('the store did not answer in time');
}
