import type { Clock } from '../../timing/clock.js';
import { mayStart, retainedUntil } from '../first-sent.js';
import { grantSequence, type SeriesRecordClaim } from '../producer/sequence-claim.js';
import { decideSequence, type SequenceRequest, seriesAddress } from '../producer/sequence-rules.js';
import type { Claim, ClaimResult, FoundProducer, RecordAddress } from '../store.js';
import { MemoryClaim } from './claim.js';
import { addressKey } from './records.js';

interface Running {
  readonly sequence: bigint;
  readonly fingerprint: Buffer;
  readonly createdAtMs: number;
  leaseUntilMs: number;
}

interface ProducerRecord {
  readonly scope: string;
  /** Whether the replies were erased and no sequence was claimed afterwards. */
  isErased: boolean;
  epoch: bigint;
  completed: bigint;
  replies: Buffer;
  expiresAtMs: number;
  /** The running execution. Each claim stores a new object, which serves as the fence. */
  running: Running | undefined;
}

/** The records of series in memory. The number of producers is small, so a query for one scope scans all records. */
export class MemoryProducers {
  readonly #byAddress = new Map<string, ProducerRecord>();
  readonly #clock: Clock;
  readonly #retentionNow: Clock;

  /** @param retentionNow judges whether a retention has ended */
  constructor(clock: Clock, retentionNow: Clock) {
    this.#clock = clock;
    this.#retentionNow = retentionNow;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  async claim(request: SequenceRequest): Promise<ClaimResult> {
    const now = this.#clock();
    const retentionNow = this.#retentionNow();
    const record = this.#live(seriesAddress(request), retentionNow);
    const decision = decideSequence(request, record && foundProducer(record, now), now, retentionNow);
    if (decision.outcome !== 'claimable') return decision;
    if (!mayStart(request, now, now))
      return { outcome: 'in-progress', ageMs: 0, leaseLeftMs: request.leaseMs };
    const sameEpoch = record?.epoch === request.series.epoch ? record : undefined;
    const replies = sameEpoch?.replies ?? Buffer.alloc(0);
    const claim = this.#advance(record ?? emptyRecord(request.scope), request, sameEpoch, now);
    return grantSequence(seriesClaim(claim, replies), request, replies);
  }

  find(address: RecordAddress): FoundProducer | undefined {
    const record = this.#live(address, this.#retentionNow());
    return record && foundProducer(record, this.#clock());
  }

  purge(limit: number): number {
    const now = this.#retentionNow();
    const expired = [...this.#byAddress].filter(([, { expiresAtMs }]) => expiresAtMs <= now).slice(0, limit);
    for (const [address] of expired) this.#byAddress.delete(address);
    return expired.length;
  }

  countLive(scope: string, max: number): number {
    const now = this.#clock();
    return this.#ofScope(scope, ({ expiresAtMs, isErased }) => expiresAtMs > now && !isErased, max).length;
  }

  erase(scope: string, limit: number): number {
    const now = this.#clock();
    const isErasable = ({ running, replies, isErased }: ProducerRecord) =>
      running ? running.leaseUntilMs <= now && replies.length > 0 : !isErased;
    const erased = this.#ofScope(scope, isErasable, limit);
    for (const record of erased) {
      // The copy is a new fence. The execution whose lease ran out cannot complete, but another execution can take it
      // over.
      const running = record.running && { ...record.running };
      Object.assign(record, { isErased: !running, replies: Buffer.alloc(0), running });
    }
    return erased.length;
  }

  /** Returns the latest expiry of a series, or 0. */
  latestExpiry(): number {
    return Math.max(0, ...[...this.#byAddress.values()].map(({ expiresAtMs }) => expiresAtMs));
  }

  countRunning(scope: string): number {
    return this.#ofScope(scope, ({ running }) => running !== undefined, Number.POSITIVE_INFINITY).length;
  }

  #ofScope(scope: string, matches: (record: ProducerRecord) => boolean, limit: number): ProducerRecord[] {
    const ofScope = [...this.#byAddress.values()].filter(
      (record) => record.scope === scope && matches(record),
    );
    return ofScope.slice(0, limit);
  }

  #live(address: RecordAddress, now: number): ProducerRecord | undefined {
    const record = this.#byAddress.get(addressKey(address));
    return record && record.expiresAtMs > now ? record : undefined;
  }

  /** Advances the record to the position of the request, as the claim statement of the SQL stores does. */
  #advance(
    record: ProducerRecord,
    request: SequenceRequest,
    sameEpoch: ProducerRecord | undefined,
    now: number,
  ): Claim {
    const { epoch, sequence } = request.series;
    const { leaseMs } = request;
    const address = addressKey(seriesAddress(request));
    const takenOver = sameEpoch?.running !== undefined;
    // Copy the fingerprint, because the caller may reuse its buffer.
    const fingerprint = Buffer.from(request.fingerprint);
    const running: Running = { sequence, fingerprint, createdAtMs: now, leaseUntilMs: now + leaseMs };
    if (!sameEpoch) Object.assign(record, { completed: -1n, replies: Buffer.alloc(0) });
    // A later claim never shortens the retention of an earlier claim.
    const expiresAtMs = Math.max(record.expiresAtMs, retainedUntil(request, now));
    Object.assign(record, { isErased: false, epoch, running, expiresAtMs });
    this.#byAddress.set(address, record);
    return new MemoryClaim({
      takenOver,
      expiresAtMs: record.expiresAtMs,
      isOwned: () => this.#byAddress.get(address) === record && record.running === running,
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

/** In memory nothing is rolled back, so a failure is stored under the same claim. */
function seriesClaim(claim: Claim, replies: Buffer): SeriesRecordClaim {
  return {
    takenOver: claim.takenOver,
    expiresAtMs: claim.expiresAtMs,
    get lost() {
      return claim.lost;
    },
    run: (work, onLost) => claim.run(work, onLost),
    complete: (stored) => claim.complete(stored),
    fail: (storedFor) => claim.fail(storedFor(replies)),
    release: () => claim.release(),
    renew: () => claim.renew(),
  };
}

function emptyRecord(scope: string): ProducerRecord {
  return {
    scope,
    isErased: false,
    epoch: 0n,
    completed: -1n,
    replies: Buffer.alloc(0),
    expiresAtMs: 0,
    running: undefined,
  };
}

function foundProducer(record: ProducerRecord, now: number): FoundProducer {
  const { running, epoch, completed, replies, expiresAtMs } = record;
  const found = { epoch, completed, replies, expiresAtMs };
  if (!running) return found;
  const { sequence, fingerprint, createdAtMs, leaseUntilMs } = running;
  const [ageMs, leaseLeftMs] = [now - createdAtMs, leaseUntilMs - now];
  return { ...found, running: { sequence, fingerprint, ageMs, leaseLeftMs } };
}
