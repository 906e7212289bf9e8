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

/** What the calls that a handler makes take over from the call that it answers. */
interface Inbound {
  readonly deadline: Deadline;
  readonly caller: string | undefined;
}

/** Carries the deadline and the caller's identity from inbound calls to the outbound calls they cause. */
export interface CallContext {
  /** Stands before the guard, so that everything behind it runs in the call's context. */
  readonly inbound: ServerInterceptor;
  /** For the clients that handlers use. A cancelled inbound call does not cancel what it caused. */
  readonly outbound: Interceptor;
}

/** @param entry what names a caller, where that is metadata: it is passed on, and nothing else is */
export function createCallContext(entry: IdentityEntry | undefined): CallContext {
  const ambient = new AsyncLocalStorage<Inbound>();
  const name = entry?.name;
  return {
    inbound: (_method, call) => {
      let inbound: Inbound = { deadline: call.getDeadline(), caller: undefined };
      // Around every event: whichever of them a later interceptor waits at, the handler starts from there.
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
          // Inside a call only its caller's name will do: a call without one must not borrow the server's.
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
  // As the guard sees it: two names are none.
  return values.length === 1 ? String(values[0]) : undefined;
}

function earlier(a: Deadline | undefined, b: Deadline | undefined): Deadline | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Number(a) <= Number(b) ? a : b;
}
