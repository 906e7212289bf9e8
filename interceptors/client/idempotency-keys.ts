import { AsyncResource } from 'node:async_hooks';
import { InterceptingCall, type Interceptor, type Listener, type Metadata } from '@grpc/grpc-js';
import { FIRST_SENT_HEADER, KEY_HEADER, PRODUCER_HEADER } from '../protocol/headers.js';
import { withoutCallersName } from './caller-metadata.js';
import { intentFor } from './intent.js';

export interface IdempotencyKeyOptions {
  /**
   * The methods that get no key: their paths, `/package.Service/Method`, or a test of a path; for those that are
   * declared NO_SIDE_EFFECTS see `readMethodsOf`. Default: none. A key on a method that only reads does no harm.
   */
  readonly skip?: readonly string[] | ((path: string) => boolean);
}

/**
 * A client interceptor that gives every call its idempotency key, once for all attempts that gRPC makes at it,
 * and says when it was first sent. In a guarded call the key is derived from the operation, the steps, the
 * method and how many calls of that method came before, so that a second execution of the operation asks for
 * the same thing; elsewhere it is a new UUIDv7. A key or a sequence that the metadata carries is left alone,
 * unless it is the guarded call's own, which a handler passes on with its caller's metadata.
 *
 * Stands before interceptors that wait for something, such as a token: keys are derived in the order of calls.
 */
export function createIdempotencyInterceptor({ skip = [] }: IdempotencyKeyOptions = {}): Interceptor {
  const isSkipped = typeof skip === 'function' ? skip : (path: string) => skip.includes(path);
  return (options, nextCall) => {
    const { path } = options.method_definition;
    const context = new AsyncResource('createIdempotencyInterceptor');
    return new InterceptingCall(nextCall(options), {
      start: (metadata, _listener, next) => {
        const own = withoutCallersName(metadata);
        next(isSkipped(path) ? own : withKey(own, path), inContext(context));
      },
    });
  };
}

function withKey(metadata: Metadata, path: string): Metadata {
  const isNamed = [KEY_HEADER, PRODUCER_HEADER].some((name) => metadata.get(name).length > 0);
  if (isNamed) return metadata;
  const { key, firstSent } = intentFor(path);
  // A copy: the caller may use its metadata for another call.
  const sent = metadata.clone();
  sent.set(KEY_HEADER, key);
  if (firstSent && sent.get(FIRST_SENT_HEADER).length === 0) sent.set(FIRST_SENT_HEADER, firstSent);
  return sent;
}

/**
 * Calls that wait for a connection are all answered in the context of whoever opened it: a handler's callback
 * would find itself in another call's unit of work.
 */
function inContext(context: AsyncResource): Listener {
  return {
    onReceiveMetadata: (metadata, next) => context.runInAsyncScope(next, undefined, metadata),
    onReceiveMessage: (message, next) => context.runInAsyncScope(next, undefined, message),
    onReceiveStatus: (status, next) => context.runInAsyncScope(next, undefined, status),
  };
}
