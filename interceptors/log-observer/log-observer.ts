import type { ConsumerObserver } from '../consumer/index.js';
import { describeError } from '../logging/describe-error.js';
import { kindOf } from '../logging/paced-lines.js';
import { type ObservedAttempt, type OutboxObserver, WakeUpsError } from '../outbox/index.js';
import { REASONS, type Reason } from '../protocol/reasons.js';
import type {
  CallOutcome,
  ObservedMethod,
  ObservedRefusal,
  ReplayGuardObserver,
  StoreOperation,
} from '../replay-guard/index.js';
import { FailureLog, type LogOptions, type Severity } from './failure-log.js';

type GuardEvents =
  | 'callRefused'
  | 'callObserved'
  | 'storeUsed'
  | 'circuitChanged'
  | 'guardClosed'
  | 'executedUnguarded'
  | 'handlerFailed'
  | 'afterCommitFailed';
type OutboxEvents = 'failed' | 'leaseLost' | 'subscriptionEnded' | 'errorOccurred' | 'recovered';
type ConsumerEvents = 'messagesPurged' | 'purgeFailed';

/** An observer of guards, relays and consumers that writes log lines. */
export interface LogObserver
  extends Pick<ReplayGuardObserver, GuardEvents>,
    Pick<OutboxObserver, OutboxEvents>,
    Pick<ConsumerObserver, ConsumerEvents> {
  /** Logs the failures of further parts of the process that use the same database. */
  readonly failures: FailureLog;
}

/** The reasons of refusals that only the caller can correct. Such a refusal is not a failure of this server. */
const ordinary: ReadonlySet<Reason> = new Set([
  REASONS.KEY_MISSING,
  REASONS.KEY_INVALID,
  REASONS.SCOPE_MISSING,
  REASONS.KEY_EXPIRED,
  REASONS.KEY_IN_PROGRESS,
  REASONS.SEQUENCE_GAP,
  REASONS.PRODUCER_FENCED,
]);

/**
 * How long the connection for wake-ups may fail without a line, in milliseconds. An outage of the database ends this
 * connection first, and has a line of its own.
 */
const WAKE_UPS_MS = 10_000;

/** The operations that may succeed while the database cannot be written. */
const reads: ReadonlySet<StoreOperation> = new Set(['find', 'count']);

/** The outcomes in mode OBSERVE of calls that ENFORCE would refuse. */
const refusedOutcomes: ReadonlySet<CallOutcome> = new Set([
  'reused',
  'expired',
  'key_missing',
  'key_invalid',
  'refused',
]);

/**
 * Creates an observer that writes log lines for operators: one line for each kind of refusal, failure and dead letter in
 * an interval. A line never has a key, a request, a scope or the text of a foreign error. Pass the same observer to the
 * guard, the relay and the consumer of one database. They then share one line when an outage of the database begins, and
 * one when it ends.
 * @throws TypeError when an option is unknown or invalid
 */
export function createLogObserver(options: LogOptions): LogObserver {
  return new LinesOfEvents(new FailureLog(options));
}

/** A class, because each part accepts an object literal only if the literal has the methods of that part alone. */
class LinesOfEvents implements LogObserver {
  readonly failures: FailureLog;
  /** When the connection for wake-ups has failed, by `performance.now()`. Undefined while it works, and during an outage. */
  #wakeUpsFailedAt: number | undefined;

  constructor(failures: FailureLog) {
    this.failures = failures;
  }

  callRefused(method: ObservedMethod, refusal: ObservedRefusal): void {
    const { reason, code, quota } = refusal;
    if (reason === REASONS.STORE_UNAVAILABLE && this.failures.explainsFailures) return;
    const level: Severity = ordinary.has(reason) ? 'info' : 'warn';
    this.failures.add(kindAt(method, reason, quota?.quota), level, 'a call was refused', () => {
      const { peer, scopeDigest } = refusal;
      return { ...method, reason, code, peer, ...(scopeDigest && { scopeDigest }), ...quota };
    });
  }

  callObserved(method: ObservedMethod, wouldBe: CallOutcome): void {
    if (!refusedOutcomes.has(wouldBe)) return;
    const text = 'a call would have been refused in mode ENFORCE';
    this.failures.add(kindAt(method, 'observed', wouldBe), 'info', text, () => ({ ...method, wouldBe }));
  }

  storeUsed(operation: StoreOperation, _seconds: number, error?: unknown): void {
    const part = reads.has(operation) ? 'guard: look-ups' : 'guard';
    const text = 'the store of the guard failed';
    if (error === undefined) this.failures.worked(part);
    else
      this.failures.failed({
        ...{ part, error, text, fields: { operation } },
        ...{ about: operation, level: 'warn' },
      });
  }

  circuitChanged(open: boolean): void {
    if (open) this.failures.blocked('circuit');
    else this.failures.unblocked('circuit');
  }

  guardClosed(): void {
    this.failures.ended('circuit');
  }

  executedUnguarded(method: ObservedMethod): void {
    const text = 'a call ran without a claim, because the store was unavailable';
    this.failures.add(kindAt(method, 'unguarded'), 'warn', text, () => ({ ...method }));
  }

  handlerFailed(method: ObservedMethod, error: unknown): void {
    this.#callFailed(method, error, 'a guarded call failed unexpectedly');
  }

  afterCommitFailed(method: ObservedMethod, error: unknown): void {
    this.#callFailed(method, error, 'an action after a commit failed');
  }

  #callFailed(method: ObservedMethod, error: unknown, text: string): void {
    const fields = { ...method };
    this.failures.failed({ part: 'guard', error, text, fields, about: kindAt(method) });
  }

  failed(observed: ObservedAttempt, _seconds: number, error: unknown, retryInMs: number | undefined): void {
    const { destination, type, attempt } = observed;
    const isDead = retryInMs === undefined;
    const text = isDead ? 'an event became a dead letter' : 'an event could not be delivered';
    const kind = ['delivery', destination, type, kindOf(error)].join(' ');
    this.failures.add(`${kind} ${isDead}`, isDead ? 'error' : 'warn', text, () => ({
      ...{ destination, type, attempt },
      ...(!isDead && { retryInMs }),
      err: describeError(error),
    }));
  }

  leaseLost({ destination, type, attempt }: ObservedAttempt): void {
    const text = 'a delivery ended after its lease';
    this.failures.add(`lease ${destination} ${type}`, 'warn', text, () => ({ destination, type, attempt }));
  }

  subscriptionEnded(destination: string, error: unknown): void {
    const text = 'a receiver ended its subscription: its deliveries stop';
    this.failures.add(`subscription ${destination}`, 'error', text, () => ({
      destination,
      err: describeError(error),
    }));
  }

  errorOccurred(error: unknown): void {
    if (error instanceof WakeUpsError) this.#wakeUpsFailed(error);
    else this.failures.failed({ part: 'relay', error, text: 'a run of the relay failed' });
  }

  /** The relay works without this connection, so its failure is no outage. */
  #wakeUpsFailed(error: WakeUpsError): void {
    const now = performance.now();
    if (this.failures.isDatabaseDown) this.#wakeUpsFailedAt = undefined;
    else this.#wakeUpsFailedAt ??= now;
    if (this.#wakeUpsFailedAt === undefined || now - this.#wakeUpsFailedAt < WAKE_UPS_MS) return;
    const text = 'the connection for wake-ups fails: the relay polls';
    this.failures.add(`wake-ups ${kindOf(error)}`, 'warn', text, () => ({ err: describeError(error) }));
  }

  recovered(): void {
    this.#wakeUpsFailedAt = undefined;
    this.failures.worked('relay');
  }

  messagesPurged(): void {
    this.failures.worked('consumer');
  }

  purgeFailed(error: unknown): void {
    const text = 'processed messages could not be purged';
    this.failures.failed({ part: 'consumer', error, text, level: 'warn' });
  }
}

function kindAt({ service, method }: ObservedMethod, ...kind: readonly (string | undefined)[]): string {
  return [service, method, ...kind].join(' ');
}
