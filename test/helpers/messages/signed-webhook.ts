import { Webhook } from 'standardwebhooks';

/** The signing secret of the webhook. */
export const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** A message to post; each omitted property has a valid default. */
export interface Posting {
  readonly id?: string;
  readonly body?: string | object;
  readonly secret?: string;
  /** The age of the signature, in milliseconds. */
  readonly agoMs?: number;
  readonly method?: string;
  /** Replaces the headers of the specification. */
  readonly headers?: Record<string, string>;
}

/** The body of a `goods.received` message. */
export const goods = (sku: string, quantity: unknown) => ({
  type: 'goods.received',
  data: { sku, quantity },
});

/** Posts a message to the warehouse's webhook. The signature follows the Standard Webhooks specification. */
export async function post(port: number, posting: Posting = {}) {
  const { id = 'msg_1', agoMs = 0, method = 'POST', secret = SECRET } = posting;
  const body = typeof posting.body === 'object' ? JSON.stringify(posting.body) : (posting.body ?? '');
  const at = new Date(Date.now() - agoMs);
  const headers = posting.headers ?? {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign(id, at, body),
  };
  const bodied = method === 'GET' || method === 'HEAD' ? {} : { body };
  const response = await fetch(`http://127.0.0.1:${port}/webhooks/warehouse`, { method, headers, ...bodied });
  return { status: response.status, body: await response.text(), allow: response.headers.get('allow') };
}
