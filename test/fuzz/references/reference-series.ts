/** What a store answers to the claim of a position, as a text. */
export type Answer = string;

interface Running {
  readonly sequence: number;
  readonly payload: number;
  leaseUntilMs: number;
  /** The number of the claim that owns the execution. */
  readonly owner: number;
}

/** A claim of a position in a series. */
export interface Position {
  readonly epoch: number;
  readonly sequence: number;
  readonly payload: number;
}

/** The length of a lease and of a retention in the model, in milliseconds. */
export const LEASE_MS = 1_000;
export const RETENTION_MS = 100_000;

/** The rules of the contract for the record of one series, after a table of the architecture. Times are in milliseconds. */
export class ReferenceSeries {
  epoch = -1;
  completed = -1;
  #isKnown = false;
  #kept = new Map<number, { readonly payload: number; readonly reply: string }>();
  #running: Running | undefined;
  #expiresAtMs = 0;

  /** Forgets the series when its retention has ended. */
  #expire(now: number): void {
    if (!this.#isKnown || now < this.#expiresAtMs) return;
    this.#isKnown = false;
    this.#begin(-1);
  }

  /** Decides a claim. @param owner the number of the claim, if it is granted */
  claim({ epoch, sequence, payload }: Position, owner: number, now: number): Answer {
    this.#expire(now);
    const running = this.#running;
    const hasRunOut = running !== undefined && running.leaseUntilMs <= now;
    if (this.#isKnown && epoch < this.epoch) return `fenced ${this.epoch}`;
    if (!this.#isKnown || epoch > this.epoch) {
      if (sequence > 1) return 'gap';
      if (running && !hasRunOut) return 'in-progress';
      this.#begin(epoch);
      return this.#grant(sequence, payload, owner, now);
    }
    if (sequence <= this.completed) {
      const kept = this.#kept.get(sequence);
      return kept ? `completed ${kept.payload} ${kept.reply}` : 'outdated';
    }
    if (!running) {
      const isNext = this.completed < 0 ? sequence <= 1 : sequence === this.completed + 1;
      if (isNext) return this.#grant(sequence, payload, owner, now);
      return this.completed < 0 ? 'gap' : `gap ${this.completed + 1}`;
    }
    if (sequence < running.sequence) return 'outdated';
    if (sequence === running.sequence)
      return hasRunOut && payload === running.payload
        ? this.#grant(sequence, payload, owner, now)
        : 'in-progress';
    if (hasRunOut) return `gap ${running.sequence}`;
    return sequence === running.sequence + 1 ? 'in-progress' : `gap ${running.sequence + 1}`;
  }

  /** Ends a claim with a reply. Returns false if the claim does not own the execution any more. */
  complete(owner: number, reply: string): boolean {
    const running = this.#running;
    if (running?.owner !== owner) return false;
    this.completed = running.sequence;
    this.#kept.set(running.sequence, { payload: running.payload, reply });
    for (const old of this.#kept.keys()) if (old <= running.sequence - 5) this.#kept.delete(old);
    this.#running = undefined;
    return true;
  }

  /** Gives a claim up. */
  release(owner: number): void {
    if (this.#running?.owner === owner) this.#running = undefined;
  }

  /** Extends a lease. Returns false if the claim does not own the execution any more. */
  renew(owner: number, now: number): boolean {
    if (this.#running?.owner !== owner) return false;
    this.#running.leaseUntilMs = now + LEASE_MS;
    return true;
  }

  #begin(epoch: number): void {
    this.epoch = epoch;
    this.completed = -1;
    this.#kept.clear();
    this.#running = undefined;
  }

  #grant(sequence: number, payload: number, owner: number, now: number): Answer {
    this.#isKnown = true;
    this.#running = { sequence, payload, owner, leaseUntilMs: now + LEASE_MS };
    this.#expiresAtMs = now + RETENTION_MS;
    return 'claimed';
  }
}
