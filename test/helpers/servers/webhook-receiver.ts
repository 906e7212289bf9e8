import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Cleanup } from '../databases/postgres.js';

/** The secret of the receiver in tests. */
export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** A request with a valid signature, as the receiver got it. */
export interface Received {
  readonly id: string;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
}

/** A webhook receiver that tests control. */
export interface Receiver {
  readonly url: string;
  /** All requests with a valid signature. */
  readonly received: Received[];
  /** The number of requests without a valid signature. */
  forged: number;
  /**
   * The answers to the next requests: statuses or handlers. The receiver answers 200 when the list is empty.
   */
  answers: (number | ((response: ServerResponse) => void))[];
  /** Answers no request until `up`. */
  hang(): void;
  /** Closes every connection and accepts no new one until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Starts a webhook receiver that verifies signatures by the reference library. Closed after the test. */
export async function startReceiver(t: Cleanup, secret = WEBHOOK_SECRET): Promise<Receiver> {
  const webhook = new Webhook(secret);
  let isHanging = false;
  const server = createServer(async (request, response) => {
    if (isHanging) return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    try {
      webhook.verify(body, request.headers as Record<string, string>);
    } catch {
      receiver.forged++;
      response.writeHead(401).end();
      return;
    }
    const { url: path = '', headers } = request;
    receiver.received.push({ id: String(headers['webhook-id']), body, headers, path });
    const answer = receiver.answers.shift() ?? 200;
    if (typeof answer === 'function') answer(response);
    else response.writeHead(answer, answer === 302 ? { location: '/elsewhere' } : {}).end('thanks');
  });
  let port = 0;
  const up = () =>
    new Promise<void>((resolve) => {
      isHanging = false;
      server.listen(port, '127.0.0.1', () => {
        port = (server.address() as AddressInfo).port;
        resolve();
      });
    });
  const down = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await up();
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/hook`,
    received: [],
    forged: 0,
    answers: [],
    hang: () => {
      isHanging = true;
    },
    down,
    up,
  };
  t.teardown(() => (server.listening ? down() : undefined));
  return receiver;
}
