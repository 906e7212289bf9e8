import { randomUUID } from 'node:crypto';
import { InterceptingCall, type Interceptor } from '@grpc/grpc-js';

const KEY = 'idempotency-key';

/**
 * A client interceptor that gives a call a key of its own where nothing has given it one: a handler that runs
 * unguarded, or is only observed, calls a service that may ask for keys all the same. The key is the same for
 * gRPC's retries of the call. Stands last, so that a derived key comes first.
 */
export function ownKeys(): Interceptor {
  return (options, nextCall) =>
    new InterceptingCall(nextCall(options), {
      start: (metadata, listener, next) => {
        if (metadata.get(KEY).length === 0) metadata.set(KEY, randomUUID());
        next(metadata, listener);
      },
    });
}
