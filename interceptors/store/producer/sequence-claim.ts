import type { Claim, ClaimResult } from '../store.js';
import type { SequenceRequest } from './sequence-rules.js';
import { SequenceWindow } from './sequence-window.js';

/** The claim of a place in a series: its reply is stored beside those of the sequences before it. */
class SequenceClaim implements Claim {
  readonly takenOver: boolean;
  readonly expiresAtMs: number;
  readonly lost: AbortSignal;
  readonly #claim: Claim;
  readonly #request: SequenceRequest;
  readonly #window: SequenceWindow;

  constructor(claim: Claim, request: SequenceRequest, window: SequenceWindow) {
    this.#claim = claim;
    this.#request = request;
    this.#window = window;
    this.takenOver = claim.takenOver;
    this.expiresAtMs = claim.expiresAtMs;
    this.lost = claim.lost;
  }

  run<T>(work: () => T): T {
    return this.#claim.run(work);
  }

  complete(reply: Buffer): Promise<void> {
    return this.#claim.complete(this.#with(reply));
  }

  fail(reply: Buffer): Promise<void> {
    return this.#claim.fail(this.#with(reply));
  }

  release(): Promise<void> {
    return this.#claim.release();
  }

  renew(): Promise<void> {
    return this.#claim.renew();
  }

  #with(reply: Buffer): Buffer {
    const { series, fingerprint } = this.#request;
    return this.#window.with(series.sequence, { fingerprint, reply });
  }
}

/**
 * What a call that was granted its place is given.
 * @param claim on the record of the series; what it completes with becomes the stored window
 * @param replies the window as it is stored
 */
export async function grantSequence(
  claim: Claim,
  request: SequenceRequest,
  replies: Buffer,
): Promise<ClaimResult> {
  try {
    const window = SequenceWindow.read(replies, request.series.sequence - 1n);
    return { outcome: 'claimed', claim: new SequenceClaim(claim, request, window) };
  } catch {
    // Nothing is executed on top of what cannot be read; a new epoch leaves it behind.
    await claim.release();
    return { outcome: 'unreadable' };
  }
}
