import {
  connect,
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Cleanup } from './postgres.js';

/** A unary call that came by. */
export interface PassingCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** How many calls came before. */
  readonly index: number;
}

/**
 * What becomes of a request, or of a reply: `cut` ends its TCP connection, `reset` only its stream, and `empty`
 * leaves the message of a reply out.
 */
export type Fate = 'pass' | 'cut' | 'reset' | 'empty';

/** Asked for each request before the server gets it, and again when the server has answered. */
export interface Fates {
  readonly request?: (call: PassingCall) => Fate | Promise<Fate>;
  readonly reply?: (call: PassingCall) => Fate | Promise<Fate>;
}

/** A proxy for unary gRPC calls that understands HTTP/2 well enough to lose requests and replies. */
export interface GrpcProxy {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Every call that came by, in order. */
  readonly calls: readonly PassingCall[];
}

interface Reply {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly message: Buffer;
}

/** Puts a proxy before a server; closed after the test. */
export async function startGrpcProxy(t: Cleanup, target: string, fates: Fates = {}): Promise<GrpcProxy> {
  const upstream = connect(`http://${target}`).on('error', () => {});
  const calls: PassingCall[] = [];
  const sockets = new Map<Http2Session | undefined, Socket>();
  const server = createServer().on('sessionError', () => {});
  let connected: Socket | undefined;
  server.prependListener('connection', (socket: Socket) => {
    connected = socket;
  });
  server.on('session', (session) => {
    session.on('error', () => {});
    if (connected) sockets.set(session, connected);
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    const call = { path: String(headers[':path']), headers, index: calls.length };
    calls.push(call);
    void pass(stream, call).catch(() => stream.destroy());
  });

  async function pass(stream: ServerHttp2Stream, call: PassingCall): Promise<void> {
    const message = await collected(stream);
    if (end(stream, (await fates.request?.(call)) ?? 'pass')) return;
    const reply = await forward(call.headers, message);
    const fate = (await fates.reply?.(call)) ?? 'pass';
    if (!end(stream, fate) && !stream.destroyed) send(stream, reply, fate);
  }

  /** Whether the fate ends the stream. */
  function end(stream: ServerHttp2Stream, fate: Fate): boolean {
    // The bare socket: a session says goodbye.
    if (fate === 'cut') sockets.get(stream.session)?.destroy();
    if (fate === 'reset') stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return fate === 'cut' || fate === 'reset';
  }

  async function forward(headers: IncomingHttpHeaders, message: Buffer): Promise<Reply> {
    const request = upstream.request(headers);
    let trailers: IncomingHttpHeaders | undefined;
    request.on('trailers', (received) => {
      trailers = received;
    });
    const response = new Promise<IncomingHttpHeaders>((resolve, reject) => {
      request.once('response', resolve).once('error', reject);
    });
    // The trailers may come after the end of the message.
    const closed = new Promise((resolve) => request.once('close', resolve));
    request.end(message);
    const received = await response;
    const reply = { headers: received, message: await collected(request) };
    await closed;
    return { ...reply, trailers };
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets.values()) socket.destroy();
    upstream.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

function send(stream: ServerHttp2Stream, { headers, message, trailers }: Reply, fate: Fate): void {
  stream.respond(headers, trailers ? { waitForTrailers: true } : { endStream: true });
  if (!trailers) return;
  stream.once('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(fate === 'empty' ? '' : message);
}

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
