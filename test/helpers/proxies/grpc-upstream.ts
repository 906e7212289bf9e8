import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';

/** What a server answered a unary call. */
export interface Reply {
  readonly headers: IncomingHttpHeaders;
  /** Absent where the headers are all there is. */
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly message: Buffer;
}

/** The servers behind a proxy, by their addresses; each is connected to anew when its connection is gone. */
export class Upstream {
  readonly #sessions = new Map<string, ClientHttp2Session>();

  /** Sends a request. @throws where the server is down, or goes down before it has answered */
  async forward(address: string, headers: IncomingHttpHeaders, message: Buffer): Promise<Reply> {
    const request = this.#session(address).request(headers);
    let trailers: IncomingHttpHeaders | undefined;
    request.on('trailers', (received) => {
      trailers = received;
    });
    // The trailers may come after the end of the message.
    const closed = new Promise<void>((resolve) => request.once('close', resolve));
    const response = new Promise<IncomingHttpHeaders>((resolve, reject) => {
      request.once('response', resolve).once('error', reject);
      void closed.then(() => reject(new Error('closed without an answer')));
    });
    request.end(message);
    const reply = { headers: await response, message: await collected(request) };
    await closed;
    if (statusOf({ ...reply, trailers }) === undefined) throw new Error('cut off in the middle');
    return { ...reply, trailers };
  }

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

/** The code that a call ended with. */
export function statusOf({ headers, trailers }: Reply): number | undefined {
  const text = trailers?.['grpc-status'] ?? headers['grpc-status'];
  return text === undefined ? undefined : Number(text);
}

/** Everything that a stream brings. */
export async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
