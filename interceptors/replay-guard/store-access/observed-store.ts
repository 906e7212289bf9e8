import { CommitInDoubtError, DatabaseUnavailableError } from '../../database/errors.js';
import type {
  Claim,
  ClaimRequest,
  ClaimResult,
  FoundProducer,
  FoundRecord,
  IdempotencyStore,
  NotClaimed,
  PurgedBatch,
  RecordAddress,
  StoreMarks,
} from '../../store/store.js';
import { backoffMs } from '../../timing/backoff.js';
import { deadlines } from '../../timing/deadlines.js';
import { isPromise, type MaybePromise, thenOrCatch } from '../../timing/maybe-promise.js';
import { within } from '../../timing/timeout.js';
import type { ReplayGuardObserver, StoreOperation } from '../observer.js';
import { Circuit } from './circuit.js';

/** The time limit of one probe of a store that is down. A later probe may succeed where this one hangs. */
const MAX_PROBE_MS = 5_000;
/** The pauses between the attempts to release a claim. The last attempt is about a minute after the first one. */
const RELEASE_BACKOFF = { initialMs: 100, maxMs: 5_000 };
const MAX_RELEASES = 18;
/** How many records one erase statement may change. */
const ERASE_BATCH_SIZE = 500;

/** One use of the store. */
interface Use<T> {
  readonly operation: StoreOperation;
  /** Calls the store. The result is there at once if the store need not wait. */
  readonly ask: () => MaybePromise<T>;
  /** The circuit that the use passes. */
  readonly circuit?: Circuit;
  /** Makes the error that is thrown at the time limit. Default: DatabaseUnavailableError. */
  readonly timeoutError?: () => Error;
  /** Receives a result that comes after the time limit. */
  readonly late?: (result: T) => void;
}

/** The result of `ReplayGuard.eraseScope`. */
export interface ErasedScope {
  /** The number of erased records. */
  readonly erased: number;
  /**
   * The number of records of the scope that were not erased, because their execution still ran or another transaction
   * held them. Call `eraseScope` again when they have ended. An execution in a transaction that other connections cannot
   * see does not count: on Postgres this is every running call with atomicity TRANSACTION.
   */
  readonly skipped: number;
  /**
   * Whether the erased bytes are gone from the files of the store. False on SQLite if a reader, for example a backup, kept
   * the write-ahead log in use: call `eraseScope` again. Always false on Postgres, which keeps earlier versions of rows
   * until a vacuum, and its log longer.
   */
  readonly removedFromFiles: boolean;
}

/** The address of a record that does not exist. A look-up at this address proves that the store can be read. */
const nowhere: RecordAddress = { scope: '', id: Buffer.alloc(32) };

/**
 * The store as the guard uses it. Each operation has a time limit, and its duration and error go to the observer.
 * Claims have one circuit, and look-ups have another. While a circuit is open, its operations fail at once with
 * DatabaseUnavailableError. A store that can only be read still answers look-ups. A result that the store returns
 * without a promise is returned without a promise.
 */
export class ObservedStore {
  readonly #store: IdempotencyStore;
  readonly #observer: ReplayGuardObserver;
  readonly #timeoutMs: number;
  readonly #claims: Circuit;
  readonly #lookUps: Circuit;
  #isDown = false;
  #isStopped = false;

  /** @param timeoutMs the time limit of one operation, in milliseconds. The operation itself cannot be stopped. */
  constructor(store: IdempotencyStore, observer: ReplayGuardObserver, timeoutMs: number) {
    this.#store = store;
    this.#observer = observer;
    this.#timeoutMs = timeoutMs;
    const probeMs = Math.min(timeoutMs, MAX_PROBE_MS);
    const changed = () => this.#circuitChanged();
    this.#claims = new Circuit(() => limited(() => store.ping(), probeMs), changed);
    this.#lookUps = new Circuit(() => limited(async () => store.find(nowhere), probeMs), changed);
  }

  claim(request: ClaimRequest): MaybePromise<ClaimResult> {
    return this.#use({
      operation: 'claim',
      circuit: this.#claims,
      ask: () => this.#store.claim(request),
      // At the time limit the claim was reported as failed, so a late claim has no execution.
      late: (result) => {
        if (result.outcome === 'claimed') void this.release(result.claim);
      },
    });
  }

  find(address: RecordAddress): MaybePromise<FoundRecord | undefined> {
    return this.#use({ operation: 'find', circuit: this.#lookUps, ask: () => this.#store.find(address) });
  }

  findProducer(address: RecordAddress): MaybePromise<FoundProducer | undefined> {
    return this.#use({
      operation: 'find',
      circuit: this.#lookUps,
      ask: () => this.#store.findProducer(address),
    });
  }

  countLive(scope: string, max: number): MaybePromise<number> {
    return this.#use({
      operation: 'count',
      circuit: this.#lookUps,
      ask: () => this.#store.countLive(scope, max),
    });
  }

  renew(claim: Claim): MaybePromise<void> {
    return this.#use({ operation: 'renew', ask: () => claim.renew() });
  }

  /** @throws CommitInDoubtError also when the store does not answer in time */
  complete(claim: Claim, reply: Buffer): MaybePromise<void> {
    return this.#use({ operation: 'complete', ask: () => claim.complete(reply), timeoutError: inDoubt });
  }

  /** As `Claim.fail`. @throws CommitInDoubtError also when the store does not answer in time */
  fail(claim: Claim, reply: Buffer): MaybePromise<NotClaimed | undefined> {
    return this.#use({ operation: 'fail', ask: () => claim.fail(reply), timeoutError: inDoubt });
  }

  /**
   * Never fails. A release that failed is tried again in the background, because its key stays claimed until the lease
   * has expired. The fence of the claim protects later claims.
   */
  release(claim: Claim): MaybePromise<void> {
    return thenOrCatch(
      () => this.#release(claim),
      () => {},
      () => this.#releaseLater(claim),
    );
  }

  #release(claim: Claim): MaybePromise<void> {
    return this.#use({ operation: 'release', ask: () => claim.release() });
  }

  #releaseLater(claim: Claim, attempt = 0): void {
    if (this.#isStopped || attempt === MAX_RELEASES) return;
    deadlines.set(backoffMs(RELEASE_BACKOFF, attempt), () => {
      void thenOrCatch(
        () => this.#release(claim),
        () => {},
        () => this.#releaseLater(claim, attempt + 1),
      );
    });
  }

  async purge(limit: number, after?: string): Promise<PurgedBatch> {
    return this.#use({ operation: 'purge', ask: () => this.#store.purge(limit, after) });
  }

  /** Returns the marks of the store, if it has marks. */
  get marks(): StoreMarks | undefined {
    const { marks } = this.#store;
    if (!marks) return undefined;
    const ms = this.#timeoutMs;
    return {
      find: (name) => this.#use({ operation: 'find', circuit: this.#lookUps, ask: () => marks.find(name) }),
      set: (name, value) => limited(() => marks.set(name, value), ms),
      isEmpty: () => limited(() => marks.isEmpty(), ms),
      refuseEarlierVersions: () => limited(() => marks.refuseEarlierVersions(), ms),
    };
  }

  /**
   * Erases all completed records of a caller, in batches of bounded size, then removes their bytes from the files.
   * @param scopes the stored scopes of the caller
   * @throws DatabaseUnavailableError, CommitInDoubtError when a batch failed: another call erases the rest
   */
  async eraseScopes(scopes: readonly string[]): Promise<ErasedScope> {
    let [erased, skipped] = [0, 0];
    for (const scope of scopes) {
      let next: string | undefined;
      do {
        const ask = () => this.#store.erase(scope, ERASE_BATCH_SIZE, next);
        const batch = await this.#use({ operation: 'erase', ask });
        erased += batch.erased;
        skipped += batch.skipped;
        next = batch.next;
      } while (next !== undefined);
    }
    const removed = limited(async () => (await this.#store.removeTraces?.()) ?? false, this.#timeoutMs);
    return { erased, skipped, removedFromFiles: await removed };
  }

  estimateRecords(): Promise<number> {
    return limited(() => this.#store.estimateRecords(), this.#timeoutMs);
  }

  /** Ends the probes of a store that is down, and the releases in the background. */
  stop(): void {
    this.#isStopped = true;
    this.#claims.stop();
    this.#lookUps.stop();
  }

  #use<T>(use: Use<T>): MaybePromise<T> {
    const begun = use.circuit?.begin() ?? 0;
    const startedAt = performance.now();
    let result: MaybePromise<T>;
    try {
      result = use.ask();
    } catch (error) {
      this.#report(use, begun, startedAt, error);
      throw error;
    }
    if (isPromise(result)) return this.#await(use, result, begun, startedAt);
    this.#report(use, begun, startedAt);
    return result;
  }

  /** Resolves or rejects as `result` does, or rejects at the time limit. */
  #await<T>(use: Use<T>, result: Promise<T>, begun: number, startedAt: number): Promise<T> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      // The observer is called last, because the call must not wait for the observer.
      const end = (answer: () => void, error?: unknown) => {
        isOver = true;
        limit.cancel();
        answer();
        this.#report(use, begun, startedAt, error);
      };
      const limit = deadlines.set(this.#timeoutMs, () => {
        const error = (use.timeoutError ?? noAnswer)();
        end(() => reject(error), error);
      });
      result.then(
        (value) => {
          if (isOver) return use.late?.(value);
          end(() => resolve(value));
        },
        (error) => {
          if (isOver) return;
          end(() => reject(error), error);
        },
      );
    });
  }

  /** Reports the store as down while one of the circuits is open. */
  #circuitChanged(): void {
    const isDown = this.#claims.isOpen || this.#lookUps.isOpen;
    if (isDown === this.#isDown) return;
    this.#isDown = isDown;
    this.#observer.circuitChanged(isDown);
  }

  #report<T>({ operation, circuit }: Use<T>, begun: number, startedAt: number, error?: unknown): void {
    if (error === undefined) circuit?.succeeded();
    else circuit?.failed(begun, error);
    this.#observer.storeUsed(operation, (performance.now() - startedAt) / 1_000, error);
  }
}

/** Calls the store and waits for at most `ms` milliseconds. */
function limited<T>(ask: () => Promise<T>, ms: number): Promise<T> {
  const otherwise = (): never => {
    throw noAnswer();
  };
  // The async function turns an error that a store of another author throws into a rejection.
  return within((async () => ask())(), { ms, otherwise });
}

function noAnswer(): Error {
  return new DatabaseUnavailableError('the store did not answer in time');
}

function inDoubt(): Error {
  return new CommitInDoubtError('the store did not answer the commit in time');
}
