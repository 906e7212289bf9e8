import {
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Cleanup } from '../databases/postgres.js';
import { type ProxiedReply, readAll, Upstream } from './grpc-upstream.js';

/** A unary call that passes through the proxy. */
export interface PassingCall {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The number of calls that came before this call. */
  readonly index: number;
}

/**
 * The action of the proxy on a request or a reply. `cut` ends the TCP connection, and `reset` ends only the stream. `half`
 * sends the headers and the first byte of a reply, then ends the TCP connection.
 * `silence` drops the request or reply and sends nothing. `empty` removes the message of a reply. `twice` delivers a
 * request two times at once, and the client gets the first reply.
 */
export type ProxyAction = 'pass' | 'cut' | 'half' | 'reset' | 'silence' | 'empty' | 'twice';

/** Hooks that choose an action for each call. Without a hook, requests and replies pass. */
export interface ProxyHooks {
  /** Called before the server gets the request. */
  readonly request?: (call: PassingCall) => ProxyAction | Promise<ProxyAction>;
  /** Called when the server has replied. */
  readonly reply?: (call: PassingCall) => ProxyAction | Promise<ProxyAction>;
  /** Called at each delivery of a request to a server. The returned function gets the reply, if there is a reply. */
  readonly delivered?: (call: PassingCall) => (reply: ProxiedReply) => void;
}

/** A running proxy for unary gRPC calls that can lose requests and replies. */
export interface GrpcProxy {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** Every call that reached the proxy, in order. */
  readonly calls: readonly PassingCall[];
}

/**
 * Starts a proxy in front of one or several servers, and closes the proxy after the test.
 * @param target the address of the server, or a function that returns the address for the next delivery
 */
export async function startGrpcProxy(
  t: Cleanup,
  target: string | (() => string),
  hooks: ProxyHooks = {},
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
    const message = await readAll(stream);
    const requestAction = (await hooks.request?.(call)) ?? 'pass';
    if (end(stream, requestAction)) return;
    const deliveries = (requestAction === 'twice' ? [1, 2] : [1]).map(() => deliver(call, message));
    const reply = await Promise.any(deliveries).catch(() => unavailable);
    const replyAction = (await hooks.reply?.(call)) ?? 'pass';
    if (end(stream, replyAction) || stream.destroyed) return;
    if (replyAction === 'half') sendHalf(stream, reply);
    else send(stream, reply, replyAction);
  }

  function sendHalf(stream: ServerHttp2Stream, { headers, message }: ProxiedReply): void {
    stream.respond(headers);
    // The socket ends after it has sent what was written.
    stream.write(message.subarray(0, 1), () => sockets.get(stream.session)?.destroySoon());
  }

  /** Ends the stream if the action requires it. Returns whether the stream has ended. */
  function end(stream: ServerHttp2Stream, action: ProxyAction): boolean {
    // The socket is destroyed directly: closing the HTTP/2 session would send GOAWAY.
    if (action === 'cut') sockets.get(stream.session)?.destroy();
    if (action === 'reset') stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    return action === 'cut' || action === 'reset' || action === 'silence';
  }

  async function deliver(call: PassingCall, message: Buffer): Promise<ProxiedReply> {
    const onReply = hooks.delivered?.(call);
    const address = typeof target === 'string' ? target : target();
    const reply = await upstream.forward(address, call.headers, message);
    onReply?.(reply);
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

/** The reply of the proxy when the server is down. */
const unavailable: ProxiedReply = {
  headers: { 'content-type': 'application/grpc', 'grpc-status': '14' },
  trailers: undefined,
  message: Buffer.alloc(0),
};

function send(
  stream: ServerHttp2Stream,
  { headers, message, trailers }: ProxiedReply,
  action: ProxyAction,
): void {
  stream.respond(headers, trailers ? { waitForTrailers: true } : { endStream: true });
  if (!trailers) return;
  stream.once('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(action === 'empty' ? '' : message);
}
