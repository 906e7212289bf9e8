import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Deadline,
  InterceptingCall,
  type Interceptor,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import type { IdentityEntry } from './identity.js';

/** The properties of an inbound call that its outbound calls inherit. */
interface InboundCall {
  readonly deadline: Deadline;
  readonly caller: string | undefined;
}

/** Copies the deadline and the caller's identity from an inbound call to the outbound calls of its handler. */
export interface CallContext {
  /** Comes before the guard, so that the guard and the handler run in the context of the call. */
  readonly inbound: ServerInterceptor;
  /** For the clients that handlers use. Cancelling an inbound call does not cancel its outbound calls. */
  readonly outbound: Interceptor;
}

/**
 * Makes the interceptors that share a call context.
 * @param entry the metadata entry of the caller's identity. No other entry is copied. Undefined: none is copied.
 */
export function createCallContext(entry: IdentityEntry | undefined): CallContext {
  const ambient = new AsyncLocalStorage<InboundCall>();
  const name = entry?.name;
  return {
    inbound: (_method, call) => {
      let inbound: InboundCall = { deadline: call.getDeadline(), caller: undefined };
      // A later interceptor may wait at any event and then start the handler. So every event has the context.
      return new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, forward) => {
              inbound = { ...inbound, caller: callerOf(metadata, name) };
              ambient.run(inbound, forward, metadata);
            },
            onReceiveMessage: (message, forward) => ambient.run(inbound, forward, message),
            onReceiveHalfClose: (forward) => ambient.run(inbound, forward),
          }),
      });
    },
    outbound: (options, nextCall) => {
      const inbound = ambient.getStore();
      const deadline = earlier(options.deadline, inbound?.deadline);
      return new InterceptingCall(nextCall(deadline === undefined ? options : { ...options, deadline }), {
        start: (metadata, listener, next) => {
          // A call without an identity must not get the identity of this server.
          const caller = inbound ? inbound.caller : entry?.own();
          if (name && caller) metadata.set(name, caller);
          next(metadata, listener);
        },
      });
    },
  };
}

function callerOf(metadata: Metadata, name: string | undefined): string | undefined {
  const values = name ? metadata.get(name) : [];
  // The guard also treats two values as no identity.
  return values.length === 1 ? String(values[0]) : undefined;
}

function earlier(a: Deadline | undefined, b: Deadline | undefined): Deadline | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Number(a) <= Number(b) ? a : b;
}
