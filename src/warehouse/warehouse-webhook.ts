import type { IncomingMessage } from 'node:http';
import { status } from '@grpc/grpc-js';
import { CommitInDoubtError, DatabaseUnavailableError, UnitOfWorkError } from 'grpc-replay-guard/database';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import * as z from 'zod';
import type { Answer } from '../ops/ops.js';
import type { Log } from '../platform/log.js';
import * as fields from '../rpc/fields.js';
import { ServiceError } from '../rpc/service-error.js';
import type { GoodsReceipt, GoodsReceipts } from './goods-receipts.js';
import { BodyError, readBody } from './request-body.js';

const MOST_BYTES = 64 * 1024;
const BODY_MS = 10_000;
/** More at once are told to come later: each holds a connection to the database. */
const MOST_AT_ONCE = 50;
/** Each may hold a body, and anybody may send one: more of them than of those that have shown to be signed. */
const MOST_READ_AT_ONCE = 500;

const goodsReceived = z.object({
  type: z.literal('goods.received'),
  data: z.object({ sku: fields.sku, quantity: z.int().pipe(fields.quantity) }),
});

/** What may be an idempotency key as well. */
const messageId = z.string().regex(/^[A-Za-z0-9._~:/+=@-]{1,200}$/);

const COME_LATER: Answer = { status: 503, line: 'try again later' };

/**
 * What the warehouse posts, by the Standard Webhooks specification: signed, at most five minutes ago. 200 says
 * that the goods are in stock, whichever delivery it was that brought them; any 4xx that it is no use to send
 * the same again; any 5xx that it is.
 */
export class WarehouseWebhook {
  readonly #verifier: Webhook;
  readonly #log: Log;
  #receive: GoodsReceipts | undefined;
  #reading = 0;
  #running = 0;

  /** Senders are told to come later until `serve` is called. */
  constructor(secret: string, log: Log) {
    this.#verifier = new Webhook(secret);
    this.#log = log;
  }

  serve(receive: GoodsReceipts): void {
    this.#receive = receive;
  }

  /** From now on senders are told to come later. */
  stop(): void {
    this.#receive = undefined;
  }

  async answer(request: IncomingMessage): Promise<Answer> {
    const receive = this.#receive;
    if (!receive || this.#reading >= MOST_READ_AT_ONCE) return COME_LATER;
    try {
      const receipt = await this.#read(request);
      if (this.#running >= MOST_AT_ONCE) return COME_LATER;
      this.#running++;
      await receive(receipt).finally(() => this.#running--);
      return { status: 200, line: 'received' };
    } catch (error) {
      return this.#refuse(error);
    }
  }

  async #read(request: IncomingMessage): Promise<GoodsReceipt> {
    this.#reading++;
    const body = await readBody(request, MOST_BYTES, BODY_MS).finally(() => this.#reading--);
    // Nobody but who holds the secret has anything parsed.
    const message = this.#verifier.verify(body, request.headers as Record<string, string>);
    return {
      ...goodsReceived.parse(message).data,
      messageId: messageId.parse(request.headers['webhook-id']),
    };
  }

  /** The log is not told why a message was refused: the reason may quote what was sent. */
  #refuse(error: unknown): Answer {
    const answer = answerTo(error);
    if (answer.status === 500) this.#log.error({ err: error }, 'a webhook failed unexpectedly');
    else if (answer.status > 500) this.#log.warn({ err: error }, 'a webhook failed for now');
    else this.#log.warn({ status: answer.status }, 'a webhook was refused');
    return answer;
  }
}

function answerTo(error: unknown): Answer {
  if (error instanceof BodyError) return { status: error.status, line: error.message };
  if (error instanceof WebhookVerificationError) {
    return { status: 401, line: 'the signature is missing, wrong, or too old' };
  }
  if (error instanceof SyntaxError || error instanceof z.ZodError) {
    return { status: 400, line: 'this is no receipt of goods' };
  }
  if (isTransient(error)) return COME_LATER;
  if (error instanceof ServiceError) return { status: 422, line: error.message };
  return { status: 500, line: 'internal error' };
}

function isTransient(error: unknown): boolean {
  if (error instanceof ServiceError) return error.code === status.UNAVAILABLE;
  // Also where the commit is in doubt: the next delivery finds out.
  const transient = [DatabaseUnavailableError, CommitInDoubtError, UnitOfWorkError];
  return transient.some((type) => error instanceof type);
}
