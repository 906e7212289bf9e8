/**
 * The stored reply of an in-flight call. Undefined when the call ended without a stored reply. The key may then be
 * free.
 */
export type InFlightOutcome = StoredReply | undefined;

/** A reply in the form in which the store holds it. */
export interface StoredReply {
  /** The id of the record that stores the reply. Only this id decodes the reply. */
  readonly recordId: Buffer;
  readonly reply: Buffer;
  /** When the retention of the key ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
}

/** The reason why a wait ended before the in-flight call: its time limit, or the end of the duplicate's own call. */
export type InterruptedWait = 'timeout' | 'call-ended';

/** One operation that this process is executing, and the duplicates that wait for the reply. */
export class InFlightCall {
  readonly fingerprint: Buffer;
  readonly startedAtMs = Date.now();
  /** Resolves to whether this call claimed the key with its fingerprint. Pending until the store has answered. */
  readonly claimed: Promise<boolean>;
  #resolveClaimed!: (claimed: boolean) => void;
  readonly #waiters = new Set<(end: InFlightOutcome | InterruptedWait) => void>();
  /** How many duplicates wait at present. `InFlightCalls` updates this count. */
  waiting = 0;
  /** Whether the call was refused as in progress. The later calls of the same producer must then also be retried. */
  isRefusedInProgress = false;

  constructor(fingerprint: Buffer) {
    this.fingerprint = fingerprint;
    this.claimed = new Promise((resolve) => {
      this.#resolveClaimed = resolve;
    });
  }

  confirmClaim(): void {
    this.#resolveClaimed(true);
  }

  end(outcome: InFlightOutcome): void {
    this.#resolveClaimed(false);
    for (const waiter of this.#waiters) waiter(outcome);
  }

  /** Ends the waits of all duplicates as timed out. */
  endWaits(): void {
    for (const waiter of this.#waiters) waiter('timeout');
  }

  /**
   * Resolves to the outcome, or to the reason why the wait ended earlier. After the wait, this in-flight call has no
   * reference to the duplicate.
   * @param callEnded aborted when the call of the duplicate has ended
   */
  wait(limitMs: number, callEnded: AbortSignal): Promise<InFlightOutcome | InterruptedWait> {
    return new Promise((resolve) => {
      const onCallEnded = () => done('call-ended');
      const timer = setTimeout(() => done('timeout'), Math.max(limitMs, 0));
      const done = (end: InFlightOutcome | InterruptedWait) => {
        clearTimeout(timer);
        callEnded.removeEventListener('abort', onCallEnded);
        this.#waiters.delete(done);
        resolve(end);
      };
      this.#waiters.add(done);
      if (callEnded.aborted) onCallEnded();
      else callEnded.addEventListener('abort', onCallEnded, { once: true });
    });
  }
}

/** How many duplicates may wait at the same time. */
export interface WaiterLimits {
  readonly perKey: number;
  readonly total: number;
}

/** The in-flight calls of this process, by record id. */
export class InFlightCalls {
  readonly #byId = new Map<string, InFlightCall>();
  readonly #onEmpty = new Set<() => void>();
  readonly #limits: WaiterLimits;
  #waiting = 0;

  constructor(limits: WaiterLimits) {
    this.#limits = limits;
  }

  /**
   * Runs the wait of one duplicate and counts the duplicate during the wait. Resolves to `timeout` at once when a
   * limit is reached. The limits bound the memory of waiting duplicates.
   */
  async wait<T>(inFlight: InFlightCall, until: () => Promise<T>): Promise<T | 'timeout'> {
    const { perKey, total } = this.#limits;
    if (inFlight.waiting >= perKey || this.#waiting >= total) return 'timeout';
    inFlight.waiting++;
    this.#waiting++;
    try {
      return await until();
    } finally {
      inFlight.waiting--;
      this.#waiting--;
    }
  }

  find(id: Buffer): InFlightCall | undefined {
    return this.#byId.get(id.toString('base64'));
  }

  start(id: Buffer, fingerprint: Buffer): InFlightCall {
    const inFlight = new InFlightCall(fingerprint);
    this.#byId.set(id.toString('base64'), inFlight);
    return inFlight;
  }

  end(id: Buffer, outcome: InFlightOutcome): void {
    const key = id.toString('base64');
    const inFlight = this.#byId.get(key);
    this.#byId.delete(key);
    inFlight?.end(outcome);
    if (this.#byId.size === 0) for (const resolve of this.#onEmpty) resolve();
  }

  endWaits(): void {
    for (const inFlight of this.#byId.values()) inFlight.endWaits();
  }

  /** Resolves when no call is in flight. */
  async empty(): Promise<void> {
    if (this.#byId.size === 0) return;
    await new Promise<void>((resolve) => this.#onEmpty.add(resolve));
    this.#onEmpty.clear();
  }
}
