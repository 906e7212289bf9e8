/** How a flight ended: with a reply that is stored, or without, so that the key may be free again. */
export type InFlightOutcome = StoredReply | undefined;

/** A reply as the store holds it. */
export interface StoredReply {
  /** The record that the reply is bound to. */
  readonly recordId: Buffer;
  readonly reply: Buffer;
  readonly expiresAtMs: number;
}

/** How a duplicate's wait ended, where it was not by the flight's outcome. */
export type WaitEnd = 'waited-enough' | 'left';

/** One operation that this process is working on, and the duplicates that wait for it. */
export class InFlightCall {
  readonly fingerprint: Buffer;
  readonly startedAtMs = Date.now();
  /** Whether the key was claimed with this flight's fingerprint; pending until that is known. */
  readonly claimed: Promise<boolean>;
  #settleClaim!: (claimed: boolean) => void;
  readonly #waiters = new Set<(outcome: InFlightOutcome | WaitEnd) => void>();
  /** How many duplicates wait at the moment, kept by `InFlightCalls`. */
  waiting = 0;
  /** Whether its call is told that an execution is in progress: it will come again, and what is behind it has to. */
  isHeldUp = false;

  constructor(fingerprint: Buffer) {
    this.fingerprint = fingerprint;
    this.claimed = new Promise((resolve) => {
      this.#settleClaim = resolve;
    });
  }

  confirmClaim(): void {
    this.#settleClaim(true);
  }

  end(outcome: InFlightOutcome): void {
    this.#settleClaim(false);
    for (const waiter of this.#waiters) waiter(outcome);
  }

  /** Sends the waiting duplicates away. */
  dismiss(): void {
    for (const waiter of this.#waiters) waiter('waited-enough');
  }

  /**
   * Waits for the outcome, holding no more than this entry.
   * @param leave aborted when the duplicate's caller is gone
   */
  wait(limitMs: number, leave: AbortSignal): Promise<InFlightOutcome | WaitEnd> {
    return new Promise((resolve) => {
      const left = () => done('left');
      const timer = setTimeout(() => done('waited-enough'), Math.max(limitMs, 0));
      const done = (end: InFlightOutcome | WaitEnd) => {
        clearTimeout(timer);
        leave.removeEventListener('abort', left);
        this.#waiters.delete(done);
        resolve(end);
      };
      this.#waiters.add(done);
      if (leave.aborted) left();
      else leave.addEventListener('abort', left, { once: true });
    });
  }
}

/** How many duplicates may wait at a time. */
export interface WaiterLimits {
  readonly perKey: number;
  readonly total: number;
}

/** The flights of this process, by record id. */
export class InFlightCalls {
  readonly #byId = new Map<string, InFlightCall>();
  readonly #emptied = new Set<() => void>();
  readonly #limits: WaiterLimits;
  #waiting = 0;

  constructor(limits: WaiterLimits) {
    this.#limits = limits;
  }

  /** Has one more duplicate wait, if there is room for it: a flood must not fill the memory. */
  async wait<T>(flight: InFlightCall, until: () => Promise<T>): Promise<T | 'waited-enough'> {
    const { perKey, total } = this.#limits;
    if (flight.waiting >= perKey || this.#waiting >= total) return 'waited-enough';
    flight.waiting++;
    this.#waiting++;
    try {
      return await until();
    } finally {
      flight.waiting--;
      this.#waiting--;
    }
  }

  find(id: Buffer): InFlightCall | undefined {
    return this.#byId.get(id.toString('base64'));
  }

  start(id: Buffer, fingerprint: Buffer): InFlightCall {
    const flight = new InFlightCall(fingerprint);
    this.#byId.set(id.toString('base64'), flight);
    return flight;
  }

  end(id: Buffer, outcome: InFlightOutcome): void {
    const key = id.toString('base64');
    const flight = this.#byId.get(key);
    this.#byId.delete(key);
    flight?.end(outcome);
    if (this.#byId.size === 0) for (const emptied of this.#emptied) emptied();
  }

  dismissWaiters(): void {
    for (const flight of this.#byId.values()) flight.dismiss();
  }

  async empty(): Promise<void> {
    if (this.#byId.size === 0) return;
    await new Promise<void>((resolve) => this.#emptied.add(resolve));
    this.#emptied.clear();
  }
}
