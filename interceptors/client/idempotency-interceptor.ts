import { AsyncResource } from 'node:async_hooks';
import { InterceptingCall, type Interceptor, type Listener, type Metadata } from '@grpc/grpc-js';
import { assertKnownOptions } from '../options/known-options.js';
import { FIRST_SENT_HEADER, KEY_HEADER, PRODUCER_HEADER } from '../protocol/headers.js';
import { withoutCallerKey } from './caller-metadata.js';
import { intentFor } from './intent.js';

/** The options of `createIdempotencyInterceptor`. */
export interface IdempotencyInterceptorOptions {
  /**
   * The methods that receive no key: their paths, `/package.Service/Method`, or a predicate on a path.
   * `readMethodsOf` returns the methods that are declared NO_SIDE_EFFECTS. A key on a method that only reads is
   * harmless. Default: none.
   */
  readonly skip?: readonly string[] | ((path: string) => boolean);
}

/**
 * Creates a client interceptor that adds an idempotency key and the first-sent time to every call. All attempts that
 * gRPC makes for a call carry the same key.
 *
 * Inside a guarded call, the key is derived from the operation, the steps, the method and the number of earlier calls
 * of that method. A second execution of the operation therefore sends the same keys. Outside a guarded call, the key
 * is a new UUIDv7. The interceptor keeps a key or a sequence that the metadata already has. The only exception is the
 * key of the guarded call itself, which a handler forwards with the metadata of its caller.
 *
 * Put this interceptor before interceptors that wait, for example for a token, because keys are derived in the order
 * of calls.
 * @throws TypeError when an option is unknown
 */
export function createIdempotencyInterceptor(options: IdempotencyInterceptorOptions = {}): Interceptor {
  assertKnownOptions<IdempotencyInterceptorOptions>('createIdempotencyInterceptor', options, { skip: true });
  const { skip = [] } = options;
  const isSkipped = typeof skip === 'function' ? skip : (path: string) => skip.includes(path);
  return (callOptions, nextCall) => {
    const { path } = callOptions.method_definition;
    const context = new AsyncResource('createIdempotencyInterceptor');
    return new InterceptingCall(nextCall(callOptions), {
      start: (metadata, _listener, next) => {
        const own = withoutCallerKey(metadata);
        next(isSkipped(path) ? own : withKey(own, path), inContext(context));
      },
    });
  };
}

function withKey(metadata: Metadata, path: string): Metadata {
  const hasOperation = [KEY_HEADER, PRODUCER_HEADER].some((name) => metadata.get(name).length > 0);
  if (hasOperation) return metadata;
  const { key, firstSent } = intentFor(path);
  // The caller may use the same metadata object for another call.
  const sent = metadata.clone();
  sent.set(KEY_HEADER, key);
  if (firstSent && sent.get(FIRST_SENT_HEADER).length === 0) sent.set(FIRST_SENT_HEADER, firstSent);
  return sent;
}

/**
 * Runs the callbacks of a call in the asynchronous context of that call. grpc-js runs the callbacks of all calls that
 * wait for a connection in the context of the call that opened the connection. A callback would then run in the unit
 * of work of another call.
 */
function inContext(context: AsyncResource): Listener {
  return {
    onReceiveMetadata: (metadata, next) => context.runInAsyncScope(next, undefined, metadata),
    onReceiveMessage: (message, next) => context.runInAsyncScope(next, undefined, message),
    onReceiveStatus: (status, next) => context.runInAsyncScope(next, undefined, status),
  };
}
