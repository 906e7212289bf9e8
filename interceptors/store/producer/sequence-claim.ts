import type { Claim, ClaimResult } from '../store.js';
import type { SequenceRequest } from './sequence-rules.js';
import { SequenceWindow } from './sequence-window.js';

/**
 * The claim of a position in a series. The claim adds its reply to the window, after the replies of earlier
 * sequences.
 */
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
    return this.#claim.complete(this.#windowWith(reply));
  }

  fail(reply: Buffer): Promise<void> {
    return this.#claim.fail(this.#windowWith(reply));
  }

  release(): Promise<void> {
    return this.#claim.release();
  }

  renew(): Promise<void> {
    return this.#claim.renew();
  }

  #windowWith(reply: Buffer): Buffer {
    const { series, fingerprint } = this.#request;
    return this.#window.with(series.sequence, { fingerprint, reply });
  }
}

/**
 * Returns the claim of a position whose record was claimed. Releases the claim if the stored window is not readable,
 * because no sequence may execute after an unreadable reply. A new epoch discards the window.
 * @param claim the claim on the record of the series; it stores the next window
 * @param replies the stored window
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
    await claim.release();
    return { outcome: 'unreadable' };
  }
}
