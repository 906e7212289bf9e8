import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** The properties in which grpc-js 1.14 keeps the limit and the next call. Both are private in its types. */
interface WireCall {
  readonly maxSendMessageSize?: unknown;
  readonly nextCall?: unknown;
}

/**
 * Returns the maximum size of a message that the server of a call sends, in bytes: the server option
 * `grpc.max_send_message_length`. Infinity without a limit. grpc-js has no public property with the options of the
 * server.
 */
export function sendLimitOf(wire: ServerInterceptingCallInterface): number {
  let call: unknown = wire;
  while (typeof call === 'object' && call !== null) {
    const { maxSendMessageSize: limit, nextCall } = call as WireCall;
    if (typeof limit === 'number') return limit === -1 ? Infinity : limit;
    call = nextCall;
  }
  return Infinity;
}
