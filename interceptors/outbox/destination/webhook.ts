import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { RetryLaterError, SubscriptionEndedError, UndeliverableError } from '../errors.js';
import type { Delivery } from '../event.js';
import type { Destination, RetryOptions } from './destination.js';
import { retryAfterMs } from './retry-after.js';

export interface WebhookOptions {
  /** Where the receiver is: `https`, or `http` on a loopback address. */
  readonly url: string;
  /** `whsec_` and 24 to 64 random bytes in base64, which the receiver knows as well. */
  readonly secret: string;
  /** The types of the events that are sent. */
  readonly types: readonly string[];
  /** How long an attempt may take, in milliseconds. Default: 15,000. */
  readonly timeoutMs?: number;
  /** Most requests at once from one relay. Default: 16. */
  readonly concurrency?: number;
  readonly retry?: RetryOptions;
}

/**
 * A destination that events are sent to by the Standard Webhooks specification: the event's id is `webhook-id`, and
 * the body `{"type", "timestamp", "data"}` is the same at every attempt. Any 2xx is success; 5xx, 408, 425, 429 and
 * what comes to no answer is tried again, after the `Retry-After` of a 429 or 503 at the earliest; 410 ends the
 * subscription; every other answer, redirects among them, makes the event a dead letter at once.
 * @throws TypeError the URL or the secret is not as it must be
 */
export function createWebhookDestination(options: WebhookOptions): Destination {
  const { url, secret, types, timeoutMs, concurrency, retry } = options;
  assertWebhookUrl(url);
  assertWebhookSecret(secret);
  const send = sender(url, new Webhook(secret));
  return {
    deliveries: Object.fromEntries(types.map((type) => [type, send])),
    endpoint: createHash('sha256').update(url).digest('base64url').slice(0, 16),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(concurrency !== undefined && { concurrency }),
    ...(retry && { retry }),
  };
}

/** @throws TypeError it is not `https`, nor `http` on a loopback address, or holds a password */
export function assertWebhookUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (!isSafe) throw new TypeError('must be an https URL; http is for loopback addresses');
  if (url?.username || url?.password) throw new TypeError('must hold no user and no password');
}

/** @throws TypeError */
export function assertWebhookSecret(text: string): void {
  const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const { length } = Buffer.from(base64, 'base64');
  if (base64.length % 4 === 0 && length >= 24 && length <= 64) return;
  throw new TypeError('must be whsec_ and 24 to 64 random bytes in base64');
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Worth another attempt, among the answers that are no success. */
const passing = new Set([408, 425, 429]);

function sender(url: string, webhook: Webhook): Delivery {
  return async ({ id, type, appendedAt, payload }, { signal }) => {
    if (payload instanceof Uint8Array)
      throw new UndeliverableError('a webhook carries JSON, and this is bytes');
    const body = JSON.stringify({ type, timestamp: appendedAt.toISOString(), data: payload });
    const now = new Date();
    const headers = {
      'content-type': 'application/json',
      'user-agent': 'grpc-replay-guard',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': webhook.sign(id, now, body),
    };
    const response = await fetch(url, { method: 'POST', redirect: 'manual', headers, body, signal });
    // Nobody reads it, and it may have no end.
    await response.body?.cancel();
    judge(response.status, retryAfterMs(response.headers.get('retry-after'), Date.now()));
  };
}

function judge(status: number, pauseMs: number | undefined): void {
  if (status >= 200 && status < 300) return;
  const answer = `the receiver answered ${status}`;
  if (status === 410) throw new SubscriptionEndedError(answer);
  if (pauseMs !== undefined && (status === 429 || status === 503)) throw new RetryLaterError(answer, pauseMs);
  if (status >= 500 || passing.has(status)) throw new Error(answer);
  throw new UndeliverableError(answer);
}
