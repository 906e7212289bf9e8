import { createHash } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { assertKnownOptions } from '../../options/known-options.js';
import { isLoopback } from '../../options/loopback.js';
import { RetryLaterError, SubscriptionEndedError, UndeliverableError } from '../errors.js';
import type { Delivery } from '../event.js';
import type { Destination, RetryOptions } from './destination.js';
import { retryAfterMs } from './retry-after.js';

/** The options of `createWebhookDestination`. */
export interface WebhookOptions {
  /** The URL of the receiver: `https`, or `http` on a loopback address. */
  readonly url: string;
  /** The secret for the signature, which the receiver also has: `whsec_` and 24 to 64 random bytes in base64. */
  readonly secret: string;
  /** The types of the events to send. */
  readonly types: readonly string[];
  /** The time limit of an attempt, in milliseconds. Default: 15,000. */
  readonly timeoutMs?: number;
  /** The maximum number of concurrent requests of one relay. Default: 16. */
  readonly concurrency?: number;
  /** The pauses between attempts, and the maximum number of attempts. Default: the defaults of `RetryOptions`. */
  readonly retry?: RetryOptions;
}

/**
 * Creates a destination that sends events as HTTP requests, signed as the Standard Webhooks specification requires.
 * The header `webhook-id` is the id of the event. The body is `{"type", "timestamp", "data"}`. The id and the body
 * are equal in every attempt.
 *
 * A 2xx status means success. A 5xx, 408, 425 or 429 status and a failed connection are retried. The retry waits for
 * the `Retry-After` of a 429 or 503. Status 410 ends the subscription. Any other status, redirects included, makes
 * the event a dead letter at once.
 * @throws TypeError when an option is unknown, or the URL, the secret or the types are invalid
 */
export function createWebhookDestination(options: WebhookOptions): Destination {
  assertKnownOptions<WebhookOptions>('createWebhookDestination', options, {
    url: true,
    secret: true,
    types: true,
    timeoutMs: true,
    concurrency: true,
    retry: true,
  });
  const { url, secret, types, timeoutMs, concurrency, retry } = options;
  if (!Array.isArray(types)) throw new TypeError('types must be a list of types of events');
  checkOption('url', () => assertWebhookUrl(url));
  checkOption('secret', () => assertWebhookSecret(secret));
  const deliver = webhookDelivery(url, new Webhook(secret));
  return {
    deliveries: Object.fromEntries(types.map((type) => [type, deliver])),
    endpoint: createHash('sha256').update(url).digest('base64url').slice(0, 16),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(concurrency !== undefined && { concurrency }),
    ...(retry && { retry }),
  };
}

/** Adds the name of the option to the message of a failed check. */
function checkOption(name: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw new TypeError(`${name} ${(error as Error).message}`);
  }
}

/**
 * Checks the URL of a webhook receiver. The message of the error does not name the option or setting.
 * @throws TypeError when the URL is neither `https` nor `http` on a loopback address, or contains a user or a
 *   password
 */
export function assertWebhookUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (!isSafe) throw new TypeError('must be an https URL; http is allowed for loopback addresses only');
  if (url?.username || url?.password) throw new TypeError('must contain no user and no password');
}

/**
 * Checks the secret of a webhook. The message of the error does not name the option or setting.
 * @throws TypeError when the secret is not `whsec_` and 24 to 64 bytes in base64
 */
export function assertWebhookSecret(text: string): void {
  const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const { length } = Buffer.from(base64, 'base64');
  if (base64.length % 4 === 0 && length >= 24 && length <= 64) return;
  throw new TypeError('must be whsec_ and 24 to 64 random bytes in base64');
}

/** The statuses below 500 that are retried. */
const transientStatuses = new Set([408, 425, 429]);

function webhookDelivery(url: string, webhook: Webhook): Delivery {
  return async ({ id, type, appendedAt, payload }, { signal, headers: trace }) => {
    if (payload instanceof Uint8Array) {
      throw new UndeliverableError('a webhook sends JSON, but the payload of this event is binary');
    }
    const body = JSON.stringify({ type, timestamp: appendedAt.toISOString(), data: payload });
    const now = new Date();
    const headers = {
      ...trace,
      'content-type': 'application/json',
      'user-agent': 'grpc-replay-guard',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1_000)),
      'webhook-signature': webhook.sign(id, now, body),
    };
    const response = await fetch(url, { method: 'POST', redirect: 'manual', headers, body, signal });
    // Cancel the body, which may be endless. Only the status is needed.
    await response.body?.cancel();
    assertDelivered(response.status, retryAfterMs(response.headers.get('retry-after'), Date.now()));
  };
}

/** Throws an error according to the status of the response, unless the status is 2xx. */
function assertDelivered(status: number, pauseMs: number | undefined): void {
  if (status >= 200 && status < 300) return;
  const answer = `the receiver answered ${status}`;
  if (status === 410) throw new SubscriptionEndedError(answer);
  if (pauseMs !== undefined && (status === 429 || status === 503)) throw new RetryLaterError(answer, pauseMs);
  if (status >= 500 || transientStatuses.has(status)) throw new Error(answer);
  throw new UndeliverableError(answer);
}
