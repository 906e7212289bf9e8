import {
  type CallOutcome,
  type ObservedMethod,
  type ReplayGuardObserver,
  silentObserver,
} from 'grpc-replay-guard';
import { poll } from './poll.js';

/** An observer that keeps what it is told, for tests to look at and to wait for. */
export class Outcomes implements ReplayGuardObserver {
  readonly ended: CallOutcome[] = [];
  readonly takenOver: boolean[] = [];
  readonly failures: unknown[] = [];
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
  storeUsed = silentObserver.storeUsed;
  replyStored = silentObserver.replyStored;
  recordsPurged = silentObserver.recordsPurged;
  recordsCounted = silentObserver.recordsCounted;

  /** How many calls ended so. */
  count(outcome: CallOutcome): number {
    return this.ended.filter((ended) => ended === outcome).length;
  }

  /** Resolves when `count` calls ended so. */
  reached(outcome: CallOutcome, count = 1): Promise<void> {
    return poll(`${count} calls ended as ${outcome}`, () => this.count(outcome) >= count);
  }
}
