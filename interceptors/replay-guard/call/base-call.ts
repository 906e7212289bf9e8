import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

type InterceptingServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

/** The properties in which grpc-js 1.14 keeps parts of a call. All are private in its types. */
interface WireCall {
  readonly maxSendMessageSize?: unknown;
  readonly stream?: unknown;
  readonly decoder?: unknown;
  readonly nextCall?: unknown;
}

/**
 * Returns the maximum size of a message that the server of a call sends, in bytes: the server option
 * `grpc.max_send_message_length`. Infinity without a limit. grpc-js has no public property with the options of the
 * server.
 */
export function sendLimitOf(wire: ServerInterceptingCallInterface): number {
  const limit = find(wire, 'maxSendMessageSize');
  return typeof limit === 'number' && limit !== -1 ? limit : Infinity;
}

/** Returns the HTTP/2 stream of a call. Undefined if this version of grpc-js keeps the stream in another way. */
export function streamOf(wire: ServerInterceptingCallInterface): object | undefined {
  const stream = find(wire, 'stream');
  return typeof stream === 'object' && stream !== null ? stream : undefined;
}

/**
 * Drops the received bytes of a request that has been decoded. The decoder of grpc-js keeps the parts of the last message
 * until the next message or the end of the call.
 */
export function dropReceivedBytes(wire: ServerInterceptingCallInterface): void {
  const decoder = find(wire, 'decoder') as { readPartialMessage?: unknown } | undefined;
  if (Array.isArray(decoder?.readPartialMessage)) decoder.readPartialMessage = [];
}

/** Searches the calls from the last interceptor to the wire. Returns the property of the first call that has the property. */
function find(wire: ServerInterceptingCallInterface, property: keyof WireCall): unknown {
  let call: unknown = wire;
  while (typeof call === 'object' && call !== null) {
    const found = call as WireCall;
    if (found[property] !== undefined) return found[property];
    call = found.nextCall;
  }
  return undefined;
}

/** Runs an action for each call from the last interceptor towards the wire. */
export function forEachCall(wire: ServerInterceptingCallInterface, action: (call: object) => void): void {
  let call: unknown = wire;
  while (typeof call === 'object' && call !== null) {
    action(call);
    call = (call as WireCall).nextCall;
  }
}

/** The properties in which grpc-js 1.14 keeps the listener of an interceptor and the listener behind it. */
interface ChainedListener {
  readonly listener?: Pick<InterceptingServerListener, 'onCancel'>;
  readonly nextListener?: InterceptingServerListener;
}

/**
 * Reports the end of a call to the interceptors behind the guard and to the handler. After `onCancel`, an interceptor of
 * grpc-js drops a request that it is still passing on. An execution whose handler never starts would hold its claim
 * until its time limit. This function therefore calls the parts of such an interceptor.
 */
export function reportCancel(behind: InterceptingServerListener): void {
  const { listener, nextListener } = behind as ChainedListener;
  if (listener && nextListener) {
    listener.onCancel();
    reportCancel(nextListener);
  } else {
    behind.onCancel();
  }
}
