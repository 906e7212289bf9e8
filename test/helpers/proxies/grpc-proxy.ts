import {
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Cleanup } from '../databases/postgres.js';
import { collected, type Reply, Upstream } from './grpc-upstream.js';

/** A unary call that came by. */
export interface PassingCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** How many calls came before. */
  readonly index: number;
}

/**
 * What becomes of a request, or of a reply: `cut` ends its TCP connection, `reset` only its stream, `silence` lets
 * nothing come of it, and `empty` leaves the message of a reply out. A request that goes `twice` is delivered two
 * times at once, and the first reply is the one.
 */
export type ProxyAction = 'pass' | 'cut' | 'reset' | 'silence' | 'empty' | 'twice';

/** Asked for each request before the server gets it, and again when the server has answered. */
export interface ProxyHooks {
  readonly request?: (call: PassingCall) => ProxyAction | Promise<ProxyAction>;
  readonly reply?: (call: PassingCall) => ProxyAction | Promise<ProxyAction>;
  /** Told of each delivery of a request to a server; what it returns is told of the reply, if one comes. */
  readonly delivered?: (call: PassingCall) => (reply: Reply) => void;
}

/** A proxy for unary gRPC calls that understands HTTP/2 well enough to lose requests and replies. */
export interface GrpcProxy {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Every call that came by, in order. */
  readonly calls: readonly PassingCall[];
}

/**
 * Puts a proxy before a server, or before several; closed after the test.
 * @param target where the next delivery goes
 */
export async function startGrpcProxy(
  t: Cleanup,
  target: string | (() => string),
  fates: ProxyHooks = {},
): Promise<GrpcProxy> {
  const upstream = new Upstream();
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
    const sent = (await fates.request?.(call)) ?? 'pass';
    if (end(stream, sent)) return;
    const deliveries = (sent === 'twice' ? [1, 2] : [1]).map(() => deliver(call, message));
    const reply = await Promise.any(deliveries).catch(() => unavailable);
    const fate = (await fates.reply?.(call)) ?? 'pass';
    if (!end(stream, fate) && !stream.destroyed) send(stream, reply, fate);
  }

  /** Whether nothing more is to be done with the stream. */
  function end(stream: ServerHttp2Stream, fate: ProxyAction): boolean {
    // The bare socket: a session says goodbye.
    if (fate === 'cut') sockets.get(stream.session)?.destroy();
    if (fate === 'reset') stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return fate === 'cut' || fate === 'reset' || fate === 'silence';
  }

  async function deliver(call: PassingCall, message: Buffer): Promise<Reply> {
    const answered = fates.delivered?.(call);
    const address = typeof target === 'string' ? target : target();
    const reply = await upstream.forward(address, call.headers, message);
    answered?.(reply);
    return reply;
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets.values()) socket.destroy();
    upstream.close();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

/** What a proxy says in the place of a server that is down. */
const unavailable: Reply = {
  headers: { 'content-type': 'application/grpc', 'grpc-status': '14' },
  trailers: undefined,
  message: Buffer.alloc(0),
};

function send(stream: ServerHttp2Stream, { headers, message, trailers }: Reply, fate: ProxyAction): void {
  stream.respond(headers, trailers ? { waitForTrailers: true } : { endStream: true });
  if (!trailers) return;
  stream.once('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(fate === 'empty' ? '' : message);
}
