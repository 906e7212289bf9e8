import { retainedUntil } from '../first-sent.js';
import { grantSequence } from '../producer/sequence-claim.js';
import { decideSequence, type SequenceRequest } from '../producer/sequence-rules.js';
import type { Claim, ClaimResult, FoundProducer } from '../store.js';
import { MemoryClaim } from './claim.js';

interface Running {
  readonly sequence: bigint;
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  leaseUntilMs: number;
}

interface SeriesRecord {
  /** Absent where its replies were erased. */
  scope: string | undefined;
  epoch: bigint;
  completed: bigint;
  replies: Buffer;
  expiresAtMs: number;
  /** The object itself is the fence. */
  running: Running | undefined;
}

/** The series of producers in memory. Few producers make many calls, so questions about a scope look at them all. */
export class MemoryProducers {
  readonly #byId = new Map<string, SeriesRecord>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#byId.size;
  }

  async claim(request: SequenceRequest): Promise<ClaimResult> {
    const now = this.#clock();
    const record = this.#live(request.series.id, now);
    const verdict = decideSequence(request, record && toFound(record, now), now);
    if (verdict.outcome !== 'claimable') return verdict;
    const goesOn = record?.epoch === request.series.epoch ? record : undefined;
    const moved = record ?? emptyRecord();
    const replies = goesOn?.replies ?? Buffer.alloc(0);
    return grantSequence(this.#move(moved, request, goesOn, now), request, replies);
  }

  find(id: Buffer): FoundProducer | undefined {
    const now = this.#clock();
    const record = this.#live(id, now);
    return record && toFound(record, now);
  }

  purge(limit: number): number {
    const now = this.#clock();
    const expired = [...this.#byId].filter(([, { expiresAtMs }]) => expiresAtMs <= now).slice(0, limit);
    for (const [id] of expired) this.#byId.delete(id);
    return expired.length;
  }

  countLive(scope: string, atMost: number): number {
    const now = this.#clock();
    return this.#ofScope(scope, ({ expiresAtMs }) => expiresAtMs > now, atMost).length;
  }

  erase(scope: string, limit: number): number {
    const now = this.#clock();
    const isErasable = ({ running }: SeriesRecord) => !running || running.leaseUntilMs <= now;
    const erased = this.#ofScope(scope, isErasable, limit);
    for (const record of erased) {
      // An execution that was left behind can be taken over, but must not wake up and complete.
      const running = record.running && { ...record.running };
      Object.assign(record, { scope: undefined, replies: Buffer.alloc(0), running });
    }
    return erased.length;
  }

  #ofScope(scope: string, matches: (record: SeriesRecord) => boolean, limit: number): SeriesRecord[] {
    const ofScope = [...this.#byId.values()].filter((record) => record.scope === scope && matches(record));
    return ofScope.slice(0, limit);
  }

  #live(id: Buffer, now: number): SeriesRecord | undefined {
    const record = this.#byId.get(nameOf(id));
    return record && record.expiresAtMs > now ? record : undefined;
  }

  /** Moves the record on to the place, as the statement of the SQL stores does. */
  #move(
    record: SeriesRecord,
    request: SequenceRequest,
    goesOn: SeriesRecord | undefined,
    now: number,
  ): Claim {
    const { scope, series, fingerprint, leaseMs } = request;
    const { epoch, sequence } = series;
    const takenOver = goesOn?.running !== undefined;
    // A copy: the caller may reuse its buffer.
    const copy = Buffer.from(fingerprint);
    const running: Running = { sequence, fingerprint: copy, createdAtMs: now, leaseUntilMs: now + leaseMs };
    if (!goesOn) Object.assign(record, { completed: -1n, replies: Buffer.alloc(0) });
    // No call shortens what an earlier one was promised.
    const expiresAtMs = Math.max(record.expiresAtMs, retainedUntil(request, now));
    Object.assign(record, { scope, epoch, running, expiresAtMs });
    this.#byId.set(nameOf(series.id), record);
    return new MemoryClaim({
      takenOver,
      expiresAtMs: record.expiresAtMs,
      isOwned: () => this.#byId.get(nameOf(series.id)) === record && record.running === running,
      complete: (replies) => Object.assign(record, { running: undefined, completed: sequence, replies }),
      release: () => {
        record.running = undefined;
      },
      renew: () => {
        running.leaseUntilMs = this.#clock() + leaseMs;
      },
    });
  }
}

function emptyRecord(): SeriesRecord {
  const nothing = { completed: -1n, replies: Buffer.alloc(0), running: undefined };
  return { scope: undefined, epoch: 0n, expiresAtMs: 0, ...nothing };
}

function nameOf(id: Buffer): string {
  return id.toString('base64');
}

function toFound(
  { running, epoch, completed, replies, expiresAtMs }: SeriesRecord,
  now: number,
): FoundProducer {
  const found = { epoch, completed, replies, expiresAtMs };
  if (!running) return found;
  const { sequence, fingerprint, createdAtMs, leaseUntilMs } = running;
  const [ageMs, leaseLeftMs] = [now - createdAtMs, leaseUntilMs - now];
  return { ...found, running: { sequence, fingerprint, ageMs, leaseLeftMs } };
}
