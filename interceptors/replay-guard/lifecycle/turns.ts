import type { GuardedCall } from '../call/guarded-call.js';
import type { Operation } from '../operation/operation.js';
import { refusals } from '../refusal/refusal.js';
import type { ClaimAttempt, Claimer } from './claim.js';
import type { InFlightCalls } from './in-flight.js';
import type { Wait } from './wait.js';

/** Has calls that a producer sends without waiting for their answers run one after another. */
export class Turns {
  readonly #flights: InFlightCalls;
  readonly #claimant: Claimer;

  constructor(flights: InFlightCalls, claimant: Claimer) {
    this.#flights = flights;
    this.#claimant = claimant;
  }

  /**
   * Waits for the call with the sequence before, where this process works on it.
   * @returns whether there was one, or that the caller has left meanwhile
   * @throws Refusal IDEMPOTENCY_KEY_IN_PROGRESS; IDEMPOTENCY_SEQUENCE_GAP: it was executed, and is to be repeated
   */
  async come(call: GuardedCall, { precededBy, series }: Operation, wait: Wait): Promise<boolean | 'left'> {
    const before = precededBy && this.#flights.find(precededBy);
    if (!before) return false;
    const end = await this.#flights.wait(before, () => before.wait(wait.remainingMs, call.gone));
    if (end === 'waited-enough') throw refusals.inProgress(Date.now() - before.startedAtMs);
    if (end === 'left') return end;
    if (!end && before.isHeldUp) throw refusals.inProgress(Date.now() - before.startedAtMs);
    // To the store 1 would be a first sequence, and 0 one that was never there.
    if (!end && series?.sequence === 1n && (await before.claimed)) throw refusals.sequenceGap(0n);
    return true;
  }

  /**
   * Claims what the call asks for; asks again where the call with the sequence before has come only meanwhile.
   * @throws as `Claimer.claim` and `come` do
   */
  async claim(
    call: GuardedCall,
    operation: Operation,
    wait: Wait,
    hasPlace: boolean,
  ): Promise<ClaimAttempt | 'left'> {
    for (;;) {
      const asked = await this.#claimant.claim(operation, (attempt) => wait.pause(attempt), hasPlace);
      if (asked.result.outcome !== 'gap') return asked;
      const preceded = await this.come(call, operation, wait);
      if (preceded === 'left') return preceded;
      if (!preceded) return asked;
    }
  }
}
