import { AsyncResource } from 'node:async_hooks';
import { InterceptingCall, type Interceptor, type Listener } from '@grpc/grpc-js';
import { derive, type Execution, executions } from '../replay-guard/execution.js';
import { KEY_HEADER } from '../replay-guard/key.js';

/**
 * A client interceptor for calls that are made inside a guarded call: each carries a key derived from
 * the operation, the method and how many calls of that method came before, so that a second execution
 * of the operation asks for the same thing. Calls made elsewhere, and keys already set, are left alone.
 */
export function derivedKeys(): Interceptor {
  return (options, nextCall) => {
    const execution = executions.getStore();
    const key = execution && derivedKey(execution, options.method_definition.path);
    const context = new AsyncResource('derivedKeys');
    return new InterceptingCall(nextCall(options), {
      start: (metadata, _listener, next) => {
        // A copy: the caller may use its metadata for another call.
        const sent = metadata.clone();
        if (key && sent.get(KEY_HEADER).length === 0) sent.set(KEY_HEADER, key);
        next(sent, inContext(context));
      },
    });
  };
}

function derivedKey(execution: Execution, path: string): string {
  const ordinal = (execution.calls.get(path) ?? 0) + 1;
  execution.calls.set(path, ordinal);
  return derive(execution, 'call', path, String(ordinal)).toString('base64url');
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
