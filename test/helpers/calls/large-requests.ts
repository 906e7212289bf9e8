import { once } from 'node:events';
import { type ClientHttp2Stream, connect, type OutgoingHttpHeaders } from 'node:http2';
import { status } from '@grpc/grpc-js';
import type { Cleanup } from '../databases/postgres.js';

/**
 * Sends calls with one request over one HTTP/2 connection, without a copy of the request for each call. A client of
 * grpc-js in the same process would hold copies.
 * @param message the encoded request of all calls
 * @param count how often each call sends the request. A correct client sends it once.
 * @returns a function that sends one call and resolves to its status when the call has ended
 */
export function largeRequests(
  t: Cleanup,
  address: string,
  path: string,
  message: Buffer,
  count = 1,
): (headers: OutgoingHttpHeaders) => Promise<status> {
  const session = connect(`http://${address}`);
  t.teardown(() => session.destroy());
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return async (headers) => {
    const stream: ClientHttp2Stream = session.request({
      ...{ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers },
    });
    stream.end(count === 1 ? frame : Buffer.concat(new Array<Buffer>(count).fill(frame)));
    let code: unknown;
    stream.on('trailers', (trailers) => {
      code = trailers['grpc-status'];
    });
    const [first] = await once(stream, 'response');
    stream.resume();
    await once(stream, 'close');
    return Number(code ?? first['grpc-status'] ?? status.UNKNOWN);
  };
}
