import {
  type CallOptions,
  type ClientUnaryCall,
  Metadata,
  type requestCallback,
  type ServiceError,
  type status,
} from '@grpc/grpc-js';

/**
 * Starts one unary call with the given metadata and options, on a client of any kind:
 * `(metadata, options, callback) => client.placeOrder(request, metadata, options, callback)`.
 */
export type SendUnary<Response> = (
  metadata: Metadata,
  options: CallOptions,
  callback: requestCallback<Response>,
) => ClientUnaryCall;

/** An attempt that received a response. */
export interface Succeeded<Response> {
  readonly response: Response;
  readonly trailers: Metadata;
}

/** An attempt that received no response. */
export interface Failed {
  /** The status of the attempt. OK if the call succeeded and its response was lost. */
  readonly code: status;
  readonly error: ServiceError;
  readonly trailers: Metadata;
  /** Whether gRPC itself sent the call several times. The status is then the status of the last of these calls. */
  readonly wasRetried: boolean;
}

/** The end of one attempt. */
export type Answer<Response> = Succeeded<Response> | Failed;

const PREVIOUS_ATTEMPTS = 'grpc-previous-rpc-attempts';

/**
 * Makes one attempt. Resolves when the call has ended, also if the call failed.
 * @param timeoutMs the deadline of the attempt, in milliseconds from now
 * @param signal cancels the call
 * @throws the error that `send` throws; nothing was sent in this case
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
    // The status event follows the callback. Only the status event has the trailers.
    call.on('status', ({ code, metadata: trailers }) => {
      signal?.removeEventListener('abort', cancel);
      const error: ServiceError | null = failure;
      if (!error) return resolve({ response: response as Response, trailers });
      const wasRetried = [initial, trailers].some((received) => received.get(PREVIOUS_ATTEMPTS).length > 0);
      resolve({ code, error, trailers, wasRetried });
    });
  });
}
