import { ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { type Deadline, deadlines } from 'grpc-replay-guard/timing';

/** How long the one request of a call may take to arrive, in milliseconds. */
const REQUEST_LIMIT_MS = 60_000;

/**
 * Makes an interceptor that ends a call with DEADLINE_EXCEEDED if its request is not complete in time. A client could
 * otherwise hold a call without end: neither a handler nor the guard starts before the end of the request. A method with
 * streaming requests has no limit.
 * @param limitMs the time after the metadata of the call, in milliseconds. Default: 60,000
 */
export function createRequestLimit(limitMs = REQUEST_LIMIT_MS): ServerInterceptor {
  return (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    let limit: Deadline | undefined;
    const end = () =>
      call.sendStatus({ code: status.DEADLINE_EXCEEDED, details: 'the request did not arrive in time' });
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, forward) => {
            limit = deadlines.set(limitMs, end);
            forward(metadata);
          },
          onReceiveHalfClose: (forward) => {
            limit?.cancel();
            forward();
          },
          onCancel: () => limit?.cancel(),
        }),
    });
  };
}
