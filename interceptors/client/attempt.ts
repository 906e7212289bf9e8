import {
  type CallOptions,
  type ClientUnaryCall,
  Metadata,
  type requestCallback,
  type ServiceError,
  type status,
} from '@grpc/grpc-js';

/**
 * Makes one unary call with what it is given, by a client of any kind:
 * `(metadata, options, callback) => client.placeOrder(request, metadata, options, callback)`.
 */
export type SendUnary<Response> = (
  metadata: Metadata,
  options: CallOptions,
  callback: requestCallback<Response>,
) => ClientUnaryCall;

export interface Succeeded<Response> {
  readonly response: Response;
  readonly trailers: Metadata;
}

export interface Failed {
  /** OK where the call succeeded and its response was lost. */
  readonly code: status;
  readonly error: ServiceError;
  readonly trailers: Metadata;
  /** Whether gRPC itself sent the call several times, so that this is only what the last of them met. */
  readonly wasRetried: boolean;
}

/** How one attempt ended. */
export type Answer<Response> = Succeeded<Response> | Failed;

const PREVIOUS_ATTEMPTS = 'grpc-previous-rpc-attempts';

/**
 * Sends once, and never rejects for what comes back.
 * @throws what `send` itself throws: nothing was sent
 */
export function attempt<Response>(
  send: SendUnary<Response>,
  metadata: Metadata,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<Answer<Response>> {
  return new Promise((resolve) => {
    let failure: ServiceError | null = null;
    let response: Response | undefined;
    let initial = new Metadata();
    const call = send(metadata, { deadline: Date.now() + timeoutMs }, (error, value) => {
      failure = error;
      response = value;
    });
    call.on('metadata', (received) => {
      initial = received;
    });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    // Comes after the callback, and is the only event that brings the trailers.
    call.on('status', ({ code, metadata: trailers }) => {
      signal?.removeEventListener('abort', cancel);
      const error: ServiceError | null = failure;
      if (!error) return resolve({ response: response as Response, trailers });
      const wasRetried = [initial, trailers].some((received) => received.get(PREVIOUS_ATTEMPTS).length > 0);
      resolve({ code, error, trailers, wasRetried });
    });
  });
}
