import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { Claim, ClaimRequest, NotClaimed, RecordAddress } from 'grpc-replay-guard/store';
import { PassingStore } from './passing-store.js';

/** A store with faults that a test switches on: an outage, lost answers to commits, or hidden records. */
export class FaultyStore extends PassingStore {
  /** Whether every call fails as unavailable. */
  isDown = false;
  /** Whether the store commits, and the answers to the commits are lost. */
  losesCommits = false;
  /** Whether look-ups find no record, as if its commit were not visible yet. */
  hidesRecords = false;

  override async claim(request: ClaimRequest) {
    this.#assertUp();
    const result = await super.claim(request);
    if (result.outcome !== 'claimed') return result;
    return { ...result, claim: new FaultyClaim(result.claim, this) };
  }

  override async find(address: RecordAddress) {
    this.#assertUp();
    return this.hidesRecords ? undefined : super.find(address);
  }

  override async findProducer(address: RecordAddress) {
    this.#assertUp();
    return this.hidesRecords ? undefined : super.findProducer(address);
  }

  override async countLive(scope: string, max: number) {
    this.#assertUp();
    return super.countLive(scope, max);
  }

  override async ping() {
    this.#assertUp();
    return super.ping();
  }

  /** Throws after a commit if the answers to commits are lost. */
  committed(): void {
    if (this.losesCommits) throw new CommitInDoubtError('the answer was lost');
  }

  /** Switches every fault off. */
  works(): void {
    this.isDown = false;
    this.losesCommits = false;
    this.hidesRecords = false;
  }

  #assertUp(): void {
    if (this.isDown) throw new DatabaseUnavailableError('the store was cut off');
  }
}

class FaultyClaim implements Claim {
  readonly takenOver: boolean;
  readonly #claim: Claim;
  readonly #store: FaultyStore;

  constructor(claim: Claim, store: FaultyStore) {
    this.#claim = claim;
    this.#store = store;
    this.takenOver = claim.takenOver;
  }

  get expiresAtMs(): number {
    return this.#claim.expiresAtMs;
  }

  get lost(): AbortSignal {
    return this.#claim.lost;
  }

  run<T>(work: () => T, onLost?: (reason: Error) => void): T {
    return this.#claim.run(work, onLost);
  }

  async complete(reply: Buffer): Promise<void> {
    await this.#claim.complete(reply);
    this.#store.committed();
  }

  async fail(reply: Buffer): Promise<NotClaimed | undefined> {
    const result = await this.#claim.fail(reply);
    this.#store.committed();
    return result;
  }

  async release(): Promise<void> {
    await this.#claim.release();
  }

  renew(): Promise<void> {
    return this.#claim.renew();
  }
}
