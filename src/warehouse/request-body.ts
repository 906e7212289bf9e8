import type { IncomingMessage } from 'node:http';
import { within } from 'grpc-replay-guard/timing';

/** A request body cannot be read. The status is the HTTP status of the response. */
export class BodyError extends Error {
  override name = 'BodyError';
  readonly status: 400 | 408 | 413;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Reads the body of a request.
 * @param maxBytes the maximum size. A longer body is read to its end but not kept, so that the sender gets a response.
 * @param timeoutMs the maximum time for the whole body, in milliseconds
 * @throws BodyError when the body is too long, too slow or incomplete
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  timeoutMs: number,
): Promise<Buffer> {
  // One buffer for all chunks. A sender can send chunks of one byte, and in a list each of them would keep its own buffer.
  const body = Buffer.allocUnsafe(maxBytes);
  let bytes = 0;
  const end = new Promise<void>((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      if (bytes + chunk.length <= maxBytes) chunk.copy(body, bytes);
      bytes += chunk.length;
    });
    request.once('end', resolve);
    request.once('error', () => reject(new BodyError(400, 'the body is incomplete')));
  });
  await within(end, {
    ms: timeoutMs,
    otherwise: () => {
      throw new BodyError(408, 'the body took too long');
    },
  });
  if (bytes > maxBytes) throw new BodyError(413, `the body must be at most ${maxBytes} bytes`);
  return body.subarray(0, bytes);
}
