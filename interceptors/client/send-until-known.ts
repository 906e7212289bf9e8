import { type Metadata, status } from '@grpc/grpc-js';
import { currentExecution } from '../execution/execution.js';
import { backoffMs } from '../timing/backoff.js';
import { type Answer, attempt, type Failed, type SendUnary } from './attempt.js';
import { withChosenKey } from './caller-metadata.js';
import { classifyFailure, type Failure } from './failure.js';
import { type Intent, newIntent, withIdempotencyKey } from './intent.js';
import { done, expiresAt, type Outcome, type Refused, refused, type Unknown } from './outcome.js';
import { RetryBudget } from './retry-budget.js';
import { type CompleteOptions, completeOptions, type SendOptions } from './send-options.js';

/** The number of consecutive faults after which the fault is considered permanent. */
const MAX_FAULTS_IN_A_ROW = 10;

/**
 * Executes one operation. Sends the call again, with the same key and first-sent time, until the outcome is known or
 * the retry budget is spent. No attempt is made when the server may already have deleted the key. The pauses double
 * and have full jitter. No pause is shorter than the pause that the server asks for.
 *
 * Resolves to an outcome for every failure of the server or of the network.
 * @throws TypeError when an option is unknown or malformed, or the key or the time of the intent is malformed
 * @throws the error that `send` throws, if no attempt can have been sent before
 */
export async function sendUntilKnown<Response>(
  send: SendUnary<Response>,
  options: SendOptions = {},
): Promise<Outcome<Response>> {
  return new Sending(send, completeOptions(options)).run();
}

class Sending<Response> {
  readonly #send: SendUnary<Response>;
  readonly #options: CompleteOptions;
  readonly #intent: Intent;
  readonly #metadata: Metadata;
  readonly #retryBudget: RetryBudget;
  /** Whether an attempt may have executed the operation, or may still execute it. */
  #inDoubt: boolean;
  #faultsInARow = 0;
  #lastError: Error | undefined;

  constructor(send: SendUnary<Response>, options: CompleteOptions) {
    const { intent = newIntent(), metadata } = options;
    this.#send = send;
    this.#options = options;
    this.#intent = intent;
    this.#metadata = withIdempotencyKey(intent.key, intent, metadata);
    this.#retryBudget = new RetryBudget(options, intent);
    // An earlier execution of the current guarded call may have sent the same derived intent.
    const isNew = options.intent === undefined && currentExecution.get() === undefined;
    this.#inDoubt = options.sentBefore ?? !isNew;
  }

  async run(): Promise<Outcome<Response>> {
    const { signal, clock } = this.#options;
    for (let failures = 0; !signal?.aborted && this.#retryBudget.remainingMs() > 0; failures++) {
      const answer = await this.#attempt();
      if (!answer) break;
      if ('response' in answer) return done(answer);
      const failure = classifyFailure(answer.code, answer.trailers);
      const end = this.#endOf(answer, failure);
      if (end) return end;
      const pauseMs = this.#pauseMs(failures, failure);
      if (pauseMs >= this.#retryBudget.remainingMs()) {
        return this.#unknown(this.#retryBudget.isKeyRetainedIn(pauseMs));
      }
      // An aborted signal rejects the wait. The condition of the loop then ends the loop.
      await clock.wait(pauseMs, signal).catch(() => {});
    }
    return this.#unknown();
  }

  /** Resolves to undefined if `send` failed at once, and earlier attempts were sent. */
  async #attempt(): Promise<Answer<Response> | undefined> {
    const { attemptTimeoutMs, signal } = this.#options;
    const timeoutMs = Math.min(attemptTimeoutMs, this.#retryBudget.remainingMs());
    try {
      // A copy, because interceptors add entries to the metadata of an attempt.
      const metadata = this.#metadata.clone();
      const answer = await withChosenKey(() => attempt(this.#send, metadata, timeoutMs, signal));
      if (!('error' in answer)) return answer;
      this.#lastError = answer.error;
      // The status is OK, but the response was lost. Only then a guard has sent an expiry: failures that are retried have none.
      if (answer.code === status.OK) this.#retryBudget.setRetentionEnd(expiresAt(answer.trailers));
      return answer;
    } catch (error) {
      if (!this.#inDoubt) throw error;
      this.#lastError = error as Error;
      return undefined;
    }
  }

  /** Returns undefined if another attempt is useful. */
  #endOf(answer: Failed, { kind, reason }: Failure): Refused | Unknown | undefined {
    this.#inDoubt ||= answer.wasRetried;
    const didNothing = kind === 'closed' || kind === 'not-done';
    if (kind === 'refused' || (didNothing && !this.#inDoubt)) return refused(answer, reason);
    if (kind === 'closed' || kind === 'lost') return this.#unknown(false);
    if (kind === 'not-done' || kind === 'later') return this.#unknown();
    this.#inDoubt = true;
    this.#faultsInARow = kind === 'fault' ? this.#faultsInARow + 1 : 0;
    return this.#faultsInARow < MAX_FAULTS_IN_A_ROW ? undefined : this.#unknown();
  }

  #pauseMs(failures: number, { retryAfterMs = 0 }: Failure): number {
    const { initialBackoffMs: initialMs, maxBackoffMs: maxMs, random } = this.#options;
    return Math.max(retryAfterMs, backoffMs({ initialMs, maxMs }, failures, 'full', random()));
  }

  #unknown(retryLater = this.#retryBudget.isKeyRetainedIn(0)): Unknown {
    const { key, firstSent } = this.#intent;
    return {
      outcome: 'unknown',
      key,
      ...(firstSent !== undefined && { firstSent }),
      retryLater,
      ...(this.#lastError && { lastError: this.#lastError }),
    };
  }
}
