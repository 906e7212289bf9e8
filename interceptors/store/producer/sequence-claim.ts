import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import type { Claim, ClaimResult, NotClaimed } from '../store.js';
import type { SequenceRequest } from './sequence-rules.js';
import { SequenceWindow } from './sequence-window.js';

/** A claim on the record of a series. The record stores a window, to which each claim adds its reply. */
export interface SeriesRecordClaim extends Omit<Claim, 'fail'> {
  /** As `Claim.fail`. @param storedFor returns the window to store, for the window that the record has now */
  fail(storedFor: (replies: Buffer) => Buffer): Promise<NotClaimed | undefined>;
}

/**
 * The claim of a position in a series. The claim adds its reply to the window, after the replies of earlier
 * sequences.
 */
class SequenceClaim implements Claim {
  readonly takenOver: boolean;
  readonly #claim: SeriesRecordClaim;
  readonly #request: SequenceRequest;
  readonly #window: SequenceWindow;

  constructor(claim: SeriesRecordClaim, request: SequenceRequest, window: SequenceWindow) {
    this.#claim = claim;
    this.#request = request;
    this.#window = window;
    this.takenOver = claim.takenOver;
  }

  get expiresAtMs(): number {
    return this.#claim.expiresAtMs;
  }

  get failure(): Error | undefined {
    return this.#claim.failure;
  }

  get lost(): AbortSignal {
    return this.#claim.lost;
  }

  run<T>(work: () => T, onLost?: (reason: Error) => void, onAfterCommitFailed?: (error: unknown) => void): T {
    return this.#claim.run(work, onLost, onAfterCommitFailed);
  }

  complete(reply: Buffer): Promise<void> {
    return this.#claim.complete(this.#with(this.#window, reply));
  }

  fail(reply: Buffer): Promise<NotClaimed | undefined> {
    return this.#claim.fail((replies) => this.#with(readWindow(replies, this.#request), reply));
  }

  release(): MaybePromise<void> {
    return this.#claim.release();
  }

  renew(): Promise<void> {
    return this.#claim.renew();
  }

  #with(window: SequenceWindow, reply: Buffer): Buffer {
    const { series, fingerprint } = this.#request;
    return window.with(series.sequence, { fingerprint, reply });
  }
}

/** Reads the window before the position of the request. @throws UnreadableWindowError */
function readWindow(replies: Buffer, { series }: SequenceRequest): SequenceWindow {
  return SequenceWindow.read(replies, series.sequence - 1n);
}

/**
 * Returns the claim of a position whose record was claimed. Releases the claim if the stored window is not readable,
 * because no sequence may execute after an unreadable reply. A new epoch discards the window.
 * @param claim the claim on the record of the series; it stores the next window
 * @param replies the stored window
 */
export function grantSequence(
  claim: SeriesRecordClaim,
  request: SequenceRequest,
  replies: Buffer,
): MaybePromise<ClaimResult> {
  try {
    return {
      outcome: 'claimed',
      claim: new SequenceClaim(claim, request, readWindow(replies, request)),
    };
  } catch {
    return then(claim.release(), () => ({ outcome: 'unreadable' }));
  }
}
