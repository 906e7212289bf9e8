import { type Client, Metadata, status } from '@grpc/grpc-js';

/** The part of a method's definition that a client needs. */
export interface ClientMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** The reply of a call and its trailing metadata. */
export interface Reply<Response> {
  readonly response: Response;
  readonly trailers: Metadata;
}

/** The options of `callUnary`. */
export interface UnaryCallOptions {
  /** The metadata of the call. Client interceptors may change it. Default: none. */
  readonly metadata?: Metadata | undefined;
  /** The timeout of the call, in milliseconds. Default: no timeout. */
  readonly timeoutMs?: number;
  /** Cancels the call when it is aborted. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes one unary call and resolves to its reply.
 * @throws ServiceError of grpc-js when the call fails; it has the code, the details and the trailers
 */
export function callUnary<Request, Response>(
  client: Client,
  { path, requestSerialize, responseDeserialize }: ClientMethod<Request, Response>,
  request: NoInfer<Request>,
  { metadata = new Metadata(), timeoutMs, signal }: UnaryCallOptions = {},
): Promise<Reply<Response>> {
  const options = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    let response: Response | undefined;
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
      (error, value) => {
        if (error) reject(error);
        response = value;
      },
    );
    const cancel = () => call.cancel();
    // This event follows the reply. No other event has the trailers.
    call.on('status', ({ code, metadata: trailers }) => {
      signal?.removeEventListener('abort', cancel);
      if (code === status.OK) resolve({ response: response as Response, trailers });
    });
    if (signal?.aborted) cancel();
    else signal?.addEventListener('abort', cancel, { once: true });
  });
}
