import type { IncomingMessage } from 'node:http';

/** A body that cannot be had, and the status that says why. */
export class BodyError extends Error {
  override name = 'BodyError';
  readonly status: 400 | 408 | 413;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * The body of a request.
 * @param mostBytes what is longer is read to its end all the same, so that the sender hears why, but not kept
 * @param withinMs how long the sender may take, in milliseconds
 * @throws BodyError it is too long, took too long, or was cut off
 */
export async function readBody(
  request: IncomingMessage,
  mostBytes: number,
  withinMs: number,
): Promise<Buffer> {
  let timer: NodeJS.Timeout | undefined;
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (status: BodyError['status'], message: string) => () =>
        reject(new BodyError(status, message));
      timer = setTimeout(fail(408, 'the body took too long'), withinMs);
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= mostBytes) chunks.push(chunk);
      });
      request.once('end', resolve);
      request.once('error', fail(400, 'the body was cut off'));
    });
  } finally {
    clearTimeout(timer);
  }
  if (bytes > mostBytes) throw new BodyError(413, `the body must be at most ${mostBytes} bytes`);
  return Buffer.concat(chunks);
}
