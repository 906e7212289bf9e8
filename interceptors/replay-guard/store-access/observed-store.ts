import { CommitInDoubtError, DatabaseUnavailableError } from '../../database/errors.js';
import type {
  Claim,
  ClaimRequest,
  ClaimResult,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
} from '../../store/store.js';
import { inTime } from '../../timing/timeout.js';
import type { ReplayGuardObserver, StoreOperation } from '../observer.js';
import { Circuit } from './circuit.js';

/** The longest that one probe of a store that is down may take: the next one may find it back. */
const PROBE_MS = 5_000;

/**
 * The store as the guard uses it: every operation is timed, bounded, and its errors are counted, and while it
 * is down questions are refused at once.
 */
export class ObservedStore {
  readonly #store: IdempotencyStore;
  readonly #observer: ReplayGuardObserver;
  readonly #timeoutMs: number;
  readonly #circuit: Circuit;

  /** @param timeoutMs after which an operation counts as failed, whatever becomes of it */
  constructor(store: IdempotencyStore, observer: ReplayGuardObserver, timeoutMs: number) {
    this.#store = store;
    this.#observer = observer;
    this.#timeoutMs = timeoutMs;
    this.#circuit = new Circuit(
      () => inTime(Math.min(timeoutMs, PROBE_MS), () => store.ping(), noAnswer),
      (open) => observer.circuitChanged(open),
    );
  }

  claim(request: ClaimRequest): Promise<ClaimResult> {
    return this.#ask(
      'claim',
      () => this.#store.claim(request),
      (result) => {
        // Whoever asked has been told that it failed.
        if (result.outcome === 'claimed') void this.release(result.claim);
      },
    );
  }

  find(id: Buffer): Promise<FoundRecord | undefined> {
    return this.#ask('find', () => this.#store.find(id));
  }

  findProducer(id: Buffer): Promise<FoundProducer | undefined> {
    return this.#ask('find', () => this.#store.findProducer(id));
  }

  countLive(scope: string, atMost: number): Promise<number> {
    return this.#ask('count', () => this.#store.countLive(scope, atMost));
  }

  renew(claim: Claim): Promise<void> {
    return this.#observe('renew', () => claim.renew());
  }

  complete(claim: Claim, reply: Buffer): Promise<void> {
    return this.#settle('complete', () => claim.complete(reply));
  }

  fail(claim: Claim, reply: Buffer): Promise<void> {
    return this.#settle('fail', () => claim.fail(reply));
  }

  /** Never rejects: a key that could not be released is free when its lease has run out. */
  async release(claim: Claim): Promise<void> {
    await this.#observe('release', () => claim.release()).catch(() => {});
  }

  purge(limit: number): Promise<number> {
    return this.#observe('purge', () => this.#store.purge(limit));
  }

  erase(scope: string, limit: number): Promise<number> {
    return this.#observe('erase', () => this.#store.erase(scope, limit));
  }

  estimateRecords(): Promise<number> {
    return inTime(this.#timeoutMs, () => this.#store.estimateRecords(), noAnswer);
  }

  /** Ends the probing of a store that is down. */
  stop(): void {
    this.#circuit.stop();
  }

  #ask<T>(operation: StoreOperation, use: () => Promise<T>, late?: (result: T) => void): Promise<T> {
    return this.#circuit.pass(() => this.#observe(operation, use, noAnswer, late));
  }

  #settle(operation: StoreOperation, use: () => Promise<void>): Promise<void> {
    const inDoubt = () => new CommitInDoubtError('the store did not say in time what became of the commit');
    return this.#observe(operation, use, inDoubt);
  }

  async #observe<T>(
    operation: StoreOperation,
    use: () => Promise<T>,
    expired: () => Error = noAnswer,
    late?: (result: T) => void,
  ): Promise<T> {
    const start = performance.now();
    const seconds = () => (performance.now() - start) / 1_000;
    try {
      const result = await inTime(this.#timeoutMs, use, expired, late);
      this.#observer.storeUsed(operation, seconds());
      return result;
    } catch (error) {
      this.#observer.storeUsed(operation, seconds(), error);
      throw error;
    }
  }
}

function noAnswer(): Error {
  return new DatabaseUnavailableError('the store did not answer in time');
}
