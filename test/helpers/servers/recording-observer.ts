import type {
  CallOutcome,
  ExceededQuota,
  ObservedMethod,
  ReplayGuardObserver,
  StoreOperation,
} from 'grpc-replay-guard';
import { poll } from '../waiting/poll.js';

/** An observer that records every event. Tests read the records, or wait for them. */
export class RecordingObserver implements Partial<ReplayGuardObserver> {
  readonly ended: CallOutcome[] = [];
  readonly takenOver: boolean[] = [];
  readonly failures: unknown[] = [];
  readonly afterCommitFailures: unknown[] = [];
  /** The outcomes that ENFORCE would have given to calls in mode OBSERVE. */
  readonly observed: CallOutcome[] = [];
  /** Every change of the circuit: true if it opened. */
  readonly circuit: boolean[] = [];
  /** Every finished operation on the store, and its error if it failed. */
  readonly uses: { readonly operation: StoreOperation; readonly failed: boolean; readonly error: unknown }[] =
    [];
  readonly purged: number[] = [];
  /** The quotas because of which calls were refused. */
  readonly exceeded: ExceededQuota[] = [];
  unguarded = 0;
  running = 0;
  /** How many calls wait at present. */
  waiting = 0;

  callEnded(_method: ObservedMethod, outcome: CallOutcome): void {
    this.ended.push(outcome);
  }
  executionStarted(_method: ObservedMethod, takenOver: boolean): void {
    this.takenOver.push(takenOver);
    this.running++;
  }
  executionEnded(): void {
    this.running--;
  }
  waitStarted(): void {
    this.waiting++;
  }
  waitEnded(): void {
    this.waiting--;
  }
  handlerFailed(_method: ObservedMethod, error: unknown): void {
    this.failures.push(error);
  }
  quotaExceeded(_method: ObservedMethod, exceeded: ExceededQuota): void {
    this.exceeded.push(exceeded);
  }
  afterCommitFailed(_method: ObservedMethod, error: unknown): void {
    this.afterCommitFailures.push(error);
  }
  executedUnguarded(): void {
    this.unguarded++;
  }
  callObserved(_method: ObservedMethod, wouldBe: CallOutcome): void {
    this.observed.push(wouldBe);
  }
  circuitChanged(open: boolean): void {
    this.circuit.push(open);
  }
  storeUsed(operation: StoreOperation, _seconds: number, error?: unknown): void {
    this.uses.push({ operation, failed: error !== undefined, error });
  }
  recordsPurged(count: number): void {
    this.purged.push(count);
  }

  /** Returns the number of calls with this outcome. */
  count(outcome: CallOutcome): number {
    return this.ended.filter((ended) => ended === outcome).length;
  }

  /** Returns how often this operation on the store succeeded. */
  did(operation: StoreOperation): number {
    return this.uses.filter((use) => use.operation === operation && use.error === undefined).length;
  }

  /** Resolves when `count` calls have this outcome. */
  reached(outcome: CallOutcome, count = 1): Promise<void> {
    return poll(`${count} calls ended as ${outcome}`, () => this.count(outcome) >= count);
  }

  /** Resolves when this operation on the store has succeeded, or failed, `count` times. */
  used(operation: StoreOperation, count = 1, failed = false): Promise<void> {
    const uses = () => this.uses.filter((use) => use.operation === operation && use.failed === failed);
    return poll(
      `${operation} ${failed ? 'failed' : 'succeeded'} ${count} times`,
      () => uses().length >= count,
    );
  }
}
