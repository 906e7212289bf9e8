import { CommitInDoubtError, DatabaseUnavailableError } from 'grpc-replay-guard/database';
import type { Claim, ClaimRequest } from 'grpc-replay-guard/store';
import { PassingStore } from './passing-store.js';

/** A store that can be cut off: whoever asks it fails, or only learns nothing of a commit. */
export class FaultyStore extends PassingStore {
  /** Nothing reaches the store. */
  isDown = false;
  /** Commits reach the store and their answers are lost. */
  losesCommits = false;
  /** No record is to be seen, as where a commit takes its time to become visible. */
  hidesRecords = false;

  override async claim(request: ClaimRequest) {
    this.#assertUp();
    const result = await super.claim(request);
    if (result.outcome !== 'claimed') return result;
    return { ...result, claim: new FaultyClaim(result.claim, this) };
  }

  override async find(id: Buffer) {
    this.#assertUp();
    return this.hidesRecords ? undefined : super.find(id);
  }

  override async findProducer(id: Buffer) {
    this.#assertUp();
    return this.hidesRecords ? undefined : super.findProducer(id);
  }

  override async countLive(scope: string, atMost: number) {
    this.#assertUp();
    return super.countLive(scope, atMost);
  }

  override async ping() {
    this.#assertUp();
    return super.ping();
  }

  /** Called where a commit has happened. */
  committed(): void {
    if (this.losesCommits) throw new CommitInDoubtError('the answer was lost');
  }

  /** Ends every fault. */
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
  readonly expiresAtMs: number;
  readonly lost: AbortSignal;
  readonly #claim: Claim;
  readonly #store: FaultyStore;

  constructor(claim: Claim, store: FaultyStore) {
    this.#claim = claim;
    this.#store = store;
    this.takenOver = claim.takenOver;
    this.expiresAtMs = claim.expiresAtMs;
    this.lost = claim.lost;
  }

  run<T>(work: () => T): T {
    return this.#claim.run(work);
  }

  async complete(reply: Buffer): Promise<void> {
    await this.#claim.complete(reply);
    this.#store.committed();
  }

  async fail(reply: Buffer): Promise<void> {
    await this.#claim.fail(reply);
    this.#store.committed();
  }

  release(): Promise<void> {
    return this.#claim.release();
  }

  renew(): Promise<void> {
    return this.#claim.renew();
  }
}
