import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { Cleanup } from '../databases/postgres.js';

export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** A request as the receiver got it, once its signature was found to be right. */
export interface Received {
  readonly id: string;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
}

export interface Receiver {
  readonly url: string;
  /** Everything that came with a right signature. */
  readonly received: Received[];
  /** How many requests had no right signature. */
  forged: number;
  /** What is done with the next requests, one each; 200 after that. */
  answers: (number | ((response: ServerResponse) => void))[];
  /** Leaves every request without an answer until `up`. */
  hang(): void;
  /** Cuts every connection, and takes no new one until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** A receiver of webhooks on a real socket, which verifies by the reference library; closed after the test. */
export async function startReceiver(t: Cleanup, secret = WEBHOOK_SECRET): Promise<Receiver> {
  const webhook = new Webhook(secret);
  let hanging = false;
  const server = createServer(async (request, response) => {
    if (hanging) return;
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
      hanging = false;
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
      hanging = true;
    },
    down,
    up,
  };
  t.teardown(() => (server.listening ? down() : undefined));
  return receiver;
}
