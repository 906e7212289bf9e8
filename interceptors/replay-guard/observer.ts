import type { Reason } from '../protocol/reasons.js';

/** The values of `CallOutcome`. */
export const callOutcomes = [
  'executed',
  'replayed',
  'joined',
  'in_progress',
  'reused',
  'expired',
  'key_missing',
  'key_invalid',
  'bypassed',
  'refused',
  'released',
] as const;

/**
 * The outcome of one guarded call.
 *
 * | outcome | meaning | |---|---| | `executed` | the handler ran and its result was committed | | `replayed` | the
 * store had the reply | | `joined` | the call waited for an execution in this process and received its reply | |
 * `in_progress` | another call with the key still ran when the wait ended or the client disconnected | | `reused` |
 * the key was used before with another request | | `expired` | the operation was first sent too long ago or in the
 * future, or its sequence is outdated | | `key_missing`, `key_invalid` | the call has no key, or has a malformed key
 * | | `bypassed` | the handler ran without a claim | | `refused` | the guard refused the call for another reason, or
 * the commit failed | | `released` | the execution ended without a stored reply, so the key is free |
 */
export type CallOutcome = (typeof callOutcomes)[number];

/** The values of `StoreOperation`. */
export const storeOperations = [
  'claim',
  'find',
  'renew',
  'complete',
  'fail',
  'release',
  'purge',
  'count',
  'erase',
] as const;

/** An operation of the guard on its store. */
export type StoreOperation = (typeof storeOperations)[number];

/** The values of `ExceededQuota.quota`. */
export const quotas = ['in_flight', 'live_keys', 'waiting'] as const;

/** A quota that the scope of a caller has reached. */
export interface ExceededQuota {
  readonly quota: (typeof quotas)[number];
  /** The number of calls or keys that the quota permits. */
  readonly limit: number;
}

/** The method of a call. Observers never receive a key or a scope. */
export interface ObservedMethod {
  /** The full service name, `package.Service`. */
  readonly service: string;
  /** The method name without the service. */
  readonly method: string;
}

/** A guard, for observers that read values when they are asked, such as a scrape. */
export interface ObservedGuard {
  /** How many calls of all scopes may wait at the same time. */
  readonly waiting: number;
  /**
   * Returns how long the oldest execution of each method has run so far, in seconds. A method without a running execution is
   * missing. The time counts from the start of the handler.
   */
  oldestExecutions(): ReadonlyMap<ObservedMethod, number>;
}

/** A refusal, and the facts about its caller that a log may contain. */
export interface ObservedRefusal {
  /** The reason in the `ErrorInfo` of the refusal, as in the contract. */
  readonly reason: Reason;
  /** The gRPC status code of the refusal. */
  readonly code: number;
  /** The address of the client or of the last proxy before this server, with its port. */
  readonly peer: string;
  /**
   * A digest of the scope, 16 characters, as `ReplayGuard.scopeDigest` returns it. Undefined if the call was refused
   * before its scope was known.
   */
  readonly scopeDigest: string | undefined;
  /** The quota because of which the call was refused. Undefined for any other refusal. */
  readonly quota: ExceededQuota | undefined;
}

/**
 * Receives the events of a guard, for metrics and logs. The guard calls the methods synchronously, so they must return
 * quickly. An error of a method has no effect on calls. The first error of each method becomes a process warning with
 * the code `REPLAY_GUARD_OBSERVER_FAILED`.
 */
export interface ReplayGuardObserver {
  /** A guard was created. The observer may keep the guard and read it until `guardClosed`. */
  guardCreated(guard: ObservedGuard): void;
  /**
   * A guard was closed, and reports nothing more. Executions that could not be ended may still run.
   * @param guard the object that `guardCreated` has received
   */
  guardClosed(guard: ObservedGuard): void;
  /** A method was protected. Called once per method, before its first call. */
  methodProtected(method: ObservedMethod): void;
  /** A guarded call ended. Called once per call. In mode OBSERVE, called with `bypassed` when the call begins. */
  callEnded(method: ObservedMethod, outcome: CallOutcome): void;
  /**
   * The guard refused a call. `callEnded` follows. A stored refusal that is replayed is not refused again.
   * @param refusal the reason, and the caller
   */
  callRefused(method: ObservedMethod, refusal: ObservedRefusal): void;
  /**
   * A handler starts under a claim.
   * @param takenOver whether the claim was taken over from an execution whose lease had expired
   */
  executionStarted(method: ObservedMethod, takenOver: boolean): void;
  /**
   * A handler that ran under a claim has ended, or the guard has ended it. Called once per `executionStarted`.
   * @param seconds how long the handler ran
   */
  executionEnded(method: ObservedMethod, seconds: number): void;
  /** A call begins to wait for another execution. A call may wait several times. */
  waitStarted(method: ObservedMethod): void;
  /** A call waits no longer. Called once per `waitStarted`. @param seconds how long it has waited */
  waitEnded(method: ObservedMethod, seconds: number): void;
  /**
   * An operation on the store ended.
   * @param seconds the duration of the operation
   * @param error present when the operation failed
   */
  storeUsed(operation: StoreOperation, seconds: number, error?: unknown): void;
  /**
   * A reply was committed.
   * @param bytes the size of the reply as it is stored
   */
  replyStored(method: ObservedMethod, bytes: number): void;
  /**
   * A batch of expired records was deleted.
   * @param count the number of deleted records; 0 when no record had expired
   */
  recordsPurged(count: number): void;
  /**
   * The records in the store were counted, after a purge.
   * @param count an estimate of the number of records
   */
  recordsCounted(count: number): void;
  /**
   * A call was refused because its caller has reached a quota. The outcome `refused` follows, or `in_progress` for the
   * quota `waiting`.
   */
  quotaExceeded(method: ObservedMethod, exceeded: ExceededQuota): void;
  /** A call ran without a claim because the store was unavailable and the policy of the method permits it. */
  executedUnguarded(method: ObservedMethod): void;
  /**
   * The guard has classified a call in mode OBSERVE.
   * @param wouldBe the outcome that the call would have in mode ENFORCE
   */
  callObserved(method: ObservedMethod, wouldBe: CallOutcome): void;
  /**
   * The circuit opened or closed.
   * @param open true when the guard considers the store down and refuses calls at once
   */
  circuitChanged(open: boolean): void;
  /** A handler threw or rejected, or the guard itself failed. The client receives INTERNAL without the error. */
  handlerFailed(method: ObservedMethod, error: unknown): void;
  /** An `afterCommit` action of a handler threw or rejected. The call is committed and gets its reply. */
  afterCommitFailed(method: ObservedMethod, error: unknown): void;
}

/** The names of all methods of the observer. */
export const observerMethods: { readonly [Name in keyof ReplayGuardObserver]: true } = {
  guardCreated: true,
  guardClosed: true,
  methodProtected: true,
  callEnded: true,
  callRefused: true,
  executionStarted: true,
  executionEnded: true,
  waitStarted: true,
  waitEnded: true,
  storeUsed: true,
  replyStored: true,
  recordsPurged: true,
  recordsCounted: true,
  quotaExceeded: true,
  executedUnguarded: true,
  callObserved: true,
  circuitChanged: true,
  handlerFailed: true,
  afterCommitFailed: true,
};
