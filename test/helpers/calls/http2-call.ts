import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Cleanup } from '../databases/postgres.js';
import { decodeStatusDetails } from '../messages/status-details.js';

/** The end of a call, as its trailers show it. */
export interface Http2Reply {
  readonly code: number;
  readonly reason?: string | undefined;
  /** The invalid entries or fields that a refusal names. */
  readonly fields?: string[] | undefined;
}

/** Opens an HTTP/2 connection, which is closed after the test. */
export function connectHttp2(t: Cleanup, authority: string, ca?: Buffer): ClientHttp2Session {
  const session = connect(authority, ca ? { ca } : {});
  t.teardown(() => session.destroy());
  return session;
}

/**
 * Sends one call with an empty message. Unlike a gRPC library, Node's HTTP/2 client sends values with bytes outside of
 * ASCII, and several entries of one name.
 */
export async function callByHttp2(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string | string[]>>,
  message: Buffer = Buffer.alloc(0),
): Promise<Http2Reply> {
  const stream = session.request({
    ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' },
    ...headers,
  });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([head, message]));
  let end: Record<string, unknown> = {};
  for (const event of ['response', 'trailers']) {
    stream.on(event, (received) => {
      end = { ...end, ...received };
    });
  }
  stream.resume();
  await once(stream, 'close');
  const packed = end['grpc-status-details-bin'];
  const details = packed ? decodeStatusDetails(Buffer.from(String(packed), 'base64')) : undefined;
  return {
    code: Number(end['grpc-status']),
    reason: details?.errorInfo?.reason,
    fields: details?.badRequest?.fieldViolations.map(({ field }) => field),
  };
}
