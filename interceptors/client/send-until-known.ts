import type { Metadata } from '@grpc/grpc-js';
import { currentExecution } from '../execution/execution.js';
import { type Answer, attempt, type Failed, type SendUnary } from './attempt.js';
import { byChosenName } from './caller-metadata.js';
import { type Failure, judge } from './failure.js';
import { type Intent, newIntent, withIdempotencyKey } from './intent.js';
import { done, expiresAt, type Outcome, type Refused, refused, type Unknown } from './outcome.js';
import { RetryBudget } from './retry-budget.js';
import { type CompleteOptions, complete, type SendOptions } from './send-options.js';

/** How many answers in a row that may be a fault that stays are worth another attempt. */
const MOST_BROKEN = 10;

/**
 * Makes one logical call: sends it again, with the same key and first-sent time, until its outcome is known or
 * the budget is spent, which it is at the latest when the server may have forgotten the key. The pauses have full
 * jitter and double, and are never shorter than the server asks for.
 *
 * Never rejects for what a server or the network does.
 * @throws TypeError an option, or the intent's key or time, is malformed
 * @throws what `send` throws, where nothing can have been sent before
 */
export async function sendUntilKnown<Response>(
  send: SendUnary<Response>,
  options: SendOptions = {},
): Promise<Outcome<Response>> {
  return new Sending(send, complete(options)).untilKnown();
}

class Sending<Response> {
  readonly #send: SendUnary<Response>;
  readonly #options: CompleteOptions;
  readonly #intent: Intent;
  readonly #metadata: Metadata;
  readonly #budget: RetryBudget;
  /** Whether an attempt may have done the operation, or may do it yet. */
  #inDoubt: boolean;
  #brokenInARow = 0;
  #lastError: Error | undefined;

  constructor(send: SendUnary<Response>, options: CompleteOptions) {
    const { intent = newIntent(), metadata } = options;
    this.#send = send;
    this.#options = options;
    this.#intent = intent;
    this.#metadata = withIdempotencyKey(intent.key, intent, metadata);
    this.#budget = new RetryBudget(options, intent);
    // A guarded call may be executed again, and then it sends again what an earlier execution sent.
    const isNew = options.intent === undefined && currentExecution.getStore() === undefined;
    this.#inDoubt = options.sentBefore ?? !isNew;
  }

  async untilKnown(): Promise<Outcome<Response>> {
    const { signal, clock } = this.#options;
    for (let failures = 0; !signal?.aborted && this.#budget.leftMs() > 0; failures++) {
      const answer = await this.#attempt();
      if (!answer) break;
      if ('response' in answer) return done(answer);
      const failure = judge(answer.code, answer.trailers);
      const end = this.#endOf(answer, failure);
      if (end) return end;
      const pauseMs = this.#pauseMs(failures, failure);
      if (pauseMs >= this.#budget.leftMs()) return this.#unknown(this.#budget.isOpenIn(pauseMs));
      // Rejects when the signal is aborted, which the loop sees by itself.
      await clock.wait(pauseMs, signal).catch(() => {});
    }
    return this.#unknown();
  }

  /** Undefined where nothing was sent, though earlier attempts were. */
  async #attempt(): Promise<Answer<Response> | undefined> {
    const { attemptTimeoutMs, signal } = this.#options;
    const timeoutMs = Math.min(attemptTimeoutMs, this.#budget.leftMs());
    try {
      // A copy: what interceptors add to one attempt is not for the next.
      const metadata = this.#metadata.clone();
      const answer = await byChosenName(() => attempt(this.#send, metadata, timeoutMs, signal));
      if ('error' in answer) this.#lastError = answer.error;
      this.#budget.retainedUntil(expiresAt(answer.trailers));
      return answer;
    } catch (error) {
      if (!this.#inDoubt) throw error;
      this.#lastError = error as Error;
      return undefined;
    }
  }

  /** Undefined where it is worth another attempt. */
  #endOf(answer: Failed, { verdict, reason }: Failure): Refused | Unknown | undefined {
    this.#inDoubt ||= answer.wasRetried;
    const didNothing = verdict === 'closed' || verdict === 'not-done';
    if (verdict === 'refused' || (didNothing && !this.#inDoubt)) return refused(answer, reason);
    if (verdict === 'closed' || verdict === 'lost') return this.#unknown(false);
    if (verdict === 'not-done' || verdict === 'later') return this.#unknown();
    this.#inDoubt = true;
    this.#brokenInARow = verdict === 'broken' ? this.#brokenInARow + 1 : 0;
    return this.#brokenInARow < MOST_BROKEN ? undefined : this.#unknown();
  }

  #pauseMs(failures: number, { retryAfterMs = 0 }: Failure): number {
    const { initialBackoffMs, maxBackoffMs, random } = this.#options;
    return Math.max(retryAfterMs, random() * Math.min(maxBackoffMs, initialBackoffMs * 2 ** failures));
  }

  #unknown(retryLater = this.#budget.isOpenIn(0)): Unknown {
    const { key, firstSent } = this.#intent;
    const times = firstSent !== undefined && { firstSent };
    return {
      outcome: 'unknown',
      key,
      ...times,
      retryLater,
      ...(this.#lastError && { lastError: this.#lastError }),
    };
  }
}
