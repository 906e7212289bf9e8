import type { CallOutcome, ObservedMethod, ReplayGuardObserver, StoreOperation } from 'grpc-replay-guard';
import { poll } from '../waiting/poll.js';

/** An observer that keeps what it is told, for tests to look at and to wait for. */
export class RecordingObserver implements Partial<ReplayGuardObserver> {
  readonly ended: CallOutcome[] = [];
  readonly takenOver: boolean[] = [];
  readonly failures: unknown[] = [];
  /** What would have become of calls in mode OBSERVE. */
  readonly observed: CallOutcome[] = [];
  /** Every change of the circuit: whether it opened. */
  readonly circuit: boolean[] = [];
  /** Every operation on the store that has ended, and its error where it failed. */
  readonly uses: { readonly operation: StoreOperation; readonly failed: boolean; readonly error: unknown }[] =
    [];
  readonly purged: number[] = [];
  unguarded = 0;
  running = 0;

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
  handlerFailed(_method: ObservedMethod, error: unknown): void {
    this.failures.push(error);
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

  /** How many calls ended so. */
  count(outcome: CallOutcome): number {
    return this.ended.filter((ended) => ended === outcome).length;
  }

  /** How often the store did this without failing. */
  did(operation: StoreOperation): number {
    return this.uses.filter((use) => use.operation === operation && use.error === undefined).length;
  }

  /** Resolves when `count` calls ended so. */
  reached(outcome: CallOutcome, count = 1): Promise<void> {
    return poll(`${count} calls ended as ${outcome}`, () => this.count(outcome) >= count);
  }

  /** Resolves when the store has been used so `count` times. */
  used(operation: StoreOperation, count = 1, failed = false): Promise<void> {
    const uses = () => this.uses.filter((use) => use.operation === operation && use.failed === failed);
    return poll(
      `${operation} ${failed ? 'failed' : 'succeeded'} ${count} times`,
      () => uses().length >= count,
    );
  }
}
