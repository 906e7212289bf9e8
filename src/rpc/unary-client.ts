import { type Client, Metadata, type MetadataValue, status } from '@grpc/grpc-js';

/** The side of a method's definition that a client needs. */
export interface ClientMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** A reply and the trailing metadata that came with it. */
export interface Reply<Response> {
  readonly response: Response;
  readonly trailers: Metadata;
}

export interface AskOptions {
  readonly metadata?: Readonly<Record<string, MetadataValue>>;
  /** When to give up, in milliseconds from now; never where left out. */
  readonly timeoutMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes one unary call.
 * @throws the gRPC error of the call, with its code, details and trailers
 */
export function ask<Request, Response>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: ClientMethod<Request, Response>,
  request: NoInfer<Request>,
  { metadata = {}, timeoutMs, signal }: AskOptions = {},
): Promise<Reply<Response>> {
  const headers = new Metadata();
  for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    let response: Response | undefined;
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      headers,
      options,
      (error, value) => {
        if (error) reject(error);
        response = value;
      },
    );
    const cancel = () => call.cancel();
    // Comes after the reply, and is the only event that brings the trailers.
    call.on('status', ({ code, metadata: trailers }) => {
      signal?.removeEventListener('abort', cancel);
      if (code === status.OK) resolve({ response: response as Response, trailers });
    });
    if (signal?.aborted) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
  });
}
