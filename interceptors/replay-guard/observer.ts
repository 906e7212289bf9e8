/** What became of one guarded call. */
export type CallOutcome =
  | 'executed'
  | 'replayed'
  | 'joined'
  | 'in_progress'
  | 'reused'
  | 'expired'
  | 'key_missing'
  | 'key_invalid'
  | 'bypassed'
  | 'refused'
  | 'released';

export type StoreOperation =
  | 'claim'
  | 'find'
  | 'renew'
  | 'complete'
  | 'fail'
  | 'release'
  | 'purge'
  | 'count'
  | 'erase';

/** The method of a call: the only thing that counts are broken down by, never a key or a scope. */
export interface ObservedMethod {
  /** Full service name, `package.Service`. */
  readonly service: string;
  readonly method: string;
}

/** Is told what the guard does. Implementations must be quick and must not throw. */
export interface ReplayGuardObserver {
  callEnded(method: ObservedMethod, outcome: CallOutcome): void;
  executionStarted(method: ObservedMethod, takenOver: boolean): void;
  executionEnded(method: ObservedMethod): void;
  /** @param error present where the operation failed */
  storeUsed(operation: StoreOperation, seconds: number, error?: unknown): void;
  replyStored(method: ObservedMethod, bytes: number): void;
  recordsPurged(count: number): void;
  recordsCounted(count: number): void;
  /** A call ran without its key being claimed because the store could not be asked; its policy wants it so. */
  executedUnguarded(method: ObservedMethod): void;
  /** @param wouldBe what would have become of the call under ENFORCE */
  callObserved(method: ObservedMethod, wouldBe: CallOutcome): void;
  /** @param open whether the store is taken to be down, so that calls are refused without asking it */
  circuitChanged(open: boolean): void;
  /** A handler failed by a throw or a rejection; the client sees INTERNAL and no more. */
  handlerFailed(method: ObservedMethod, error: unknown): void;
}

/** Every method of the observer. */
export const observerMethods: { readonly [Name in keyof ReplayGuardObserver]: true } = {
  callEnded: true,
  executionStarted: true,
  executionEnded: true,
  storeUsed: true,
  replyStored: true,
  recordsPurged: true,
  recordsCounted: true,
  executedUnguarded: true,
  callObserved: true,
  circuitChanged: true,
  handlerFailed: true,
};
