import type { IncomingMessage } from 'node:http';
import { status } from '@grpc/grpc-js';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from 'grpc-replay-guard/database';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import * as z from 'zod';
import type { Answer } from '../ops/ops.js';
import type { FailureLog } from '../platform/failure-log.js';
import * as fields from '../rpc/fields.js';
import { ServiceError } from '../rpc/service-error.js';
import type { GoodsReceipt, GoodsReceipts } from './goods-receipts.js';
import { BodyError, readBody } from './request-body.js';

const MAX_BODY_BYTES = 64 * 1024;
const BODY_TIMEOUT_MS = 10_000;
/** Each running receipt uses a connection to the database. */
const MAX_RUNNING = 50;
/**
 * Each reading request keeps a body in memory. Any client can send a body, also without a signature. So this limit is
 * higher than the limit of running receipts, whose signatures are checked.
 */
const MAX_READING = 500;

const goodsReceived = z.object({
  type: z.literal('goods.received'),
  data: z.object({ sku: fields.sku, quantity: z.int().pipe(fields.quantity) }),
});

/** A message id becomes a part of an idempotency key, so it has the same characters but is shorter. */
const messageId = z.string().regex(/^[A-Za-z0-9._~:/+=@-]{1,200}$/);

/** The name of the webhook in the failure log. */
const part = 'webhook';

const TRY_LATER: Answer = { status: 503, line: 'try again later' };

/**
 * The webhook for receipts of goods, by the Standard Webhooks specification. A message must be signed and at most five
 * minutes old. 200 means that the goods are in stock, also for a repeated delivery. A 4xx is a refusal: an
 * immediate repetition would get the same response. After a 5xx the sender must repeat the message.
 */
export class WarehouseWebhook {
  readonly #verifier: Webhook;
  readonly #failures: FailureLog;
  #receive: GoodsReceipts | undefined;
  #reading = 0;
  #running = 0;

  /** Makes a webhook that responds with 503 until `serve` is called. */
  constructor(secret: string, failures: FailureLog) {
    this.#verifier = new Webhook(secret);
    this.#failures = failures;
  }

  /** Accepts messages from now on. */
  serve(receive: GoodsReceipts): void {
    this.#receive = receive;
  }

  /** Responds to new messages with 503 from now on. */
  stop(): void {
    this.#receive = undefined;
  }

  /** Handles a request and resolves to its response. */
  async answer(request: IncomingMessage): Promise<Answer> {
    const receive = this.#receive;
    if (!receive || this.#reading >= MAX_READING) return TRY_LATER;
    try {
      const receipt = await this.#read(request);
      if (this.#running >= MAX_RUNNING) return TRY_LATER;
      this.#running++;
      await receive(receipt).finally(() => this.#running--);
      this.#failures.worked(part);
      return { status: 200, line: 'received' };
    } catch (error) {
      return this.#refuse(error);
    }
  }

  async #read(request: IncomingMessage): Promise<GoodsReceipt> {
    this.#reading++;
    const body = await readBody(request, MAX_BODY_BYTES, BODY_TIMEOUT_MS).finally(() => this.#reading--);
    // The signature is checked before the body is parsed.
    const message = this.#verifier.verify(body, request.headers as Record<string, string>);
    return {
      ...goodsReceived.parse(message).data,
      messageId: messageId.parse(request.headers['webhook-id']),
    };
  }

  /** The log does not get the reason for a refusal, because the reason may quote the message. */
  #refuse(error: unknown): Answer {
    const answer = answerTo(error);
    const { status } = answer;
    if (status === 500) this.#failures.failed({ part, error, text: 'a webhook failed unexpectedly' });
    else if (status > 500)
      this.#failures.failed({ part, error, text: 'a webhook failed; a retry may succeed', level: 'warn' });
    else this.#failures.add(`webhook ${status}`, 'warn', 'a webhook was refused', () => ({ status }));
    return answer;
  }
}

function answerTo(error: unknown): Answer {
  if (error instanceof BodyError) return { status: error.status, line: error.message };
  if (error instanceof WebhookVerificationError) {
    return { status: 401, line: 'the signature is missing, wrong, or too old' };
  }
  if (error instanceof SyntaxError || error instanceof z.ZodError) {
    return { status: 400, line: 'the message is not a receipt of goods' };
  }
  if (isTransient(error)) return TRY_LATER;
  if (error instanceof ServiceError) return { status: 422, line: error.message };
  return { status: 500, line: 'internal error' };
}

function isTransient(error: unknown): boolean {
  // RESOURCE_EXHAUSTED: this server has reached a quota at a remote inventory.
  if (error instanceof ServiceError)
    return error.code === status.UNAVAILABLE || error.code === status.RESOURCE_EXHAUSTED;
  // After a commit in doubt, the next delivery finds the record or processes the message.
  const transient = [DatabaseUnavailableError, CommitInDoubtError, UnitOfWorkError];
  return transient.some((type) => error instanceof type);
}
