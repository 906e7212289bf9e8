import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';

/** The reply of a server to a unary call, as HTTP/2 headers and bytes. */
export interface ProxiedReply {
  readonly headers: IncomingHttpHeaders;
  /** Absent if the reply is Trailers-Only. */
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly message: Buffer;
}

/** Connections to the servers behind a proxy, by address. A closed connection is replaced at the next request. */
export class Upstream {
  readonly #sessions = new Map<string, ClientHttp2Session>();

  /**
   * Sends a request and resolves to its reply.
   * @throws Error when the server is down, or goes down before it has replied
   */
  async forward(address: string, headers: IncomingHttpHeaders, message: Buffer): Promise<ProxiedReply> {
    const request = this.#session(address).request(headers);
    let trailers: IncomingHttpHeaders | undefined;
    request.on('trailers', (received) => {
      trailers = received;
    });
    // The trailers may come after the end of the message.
    const closed = new Promise<void>((resolve) => request.once('close', resolve));
    const response = new Promise<IncomingHttpHeaders>((resolve, reject) => {
      request.once('response', resolve).once('error', reject);
      void closed.then(() => reject(new Error('the stream closed without a reply')));
    });
    request.end(message);
    const reply = { headers: await response, message: await readAll(request) };
    await closed;
    if (statusOf({ ...reply, trailers }) === undefined)
      throw new Error('the stream closed before the status');
    return { ...reply, trailers };
  }

  /** Closes all connections. */
  close(): void {
    for (const session of this.#sessions.values()) session.destroy();
  }

  #session(address: string): ClientHttp2Session {
    const known = this.#sessions.get(address);
    if (known && !known.closed && !known.destroyed) return known;
    const session = connect(`http://${address}`).on('error', () => {});
    this.#sessions.set(address, session);
    return session;
  }
}

/** Returns the gRPC status code of a reply, or undefined if the reply has none. */
export function statusOf({ headers, trailers }: ProxiedReply): number | undefined {
  const text = trailers?.['grpc-status'] ?? headers['grpc-status'];
  return text === undefined ? undefined : Number(text);
}

/** Reads a stream to its end and returns all its bytes. */
export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
