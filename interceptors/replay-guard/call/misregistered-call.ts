import { ServerInterceptingCall, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

/**
 * A call of a protected method on a server that has the service without the protected definition. The call is refused
 * and its handler does not run, because the server could not send the reply.
 */
export class MisregisteredCall extends ServerInterceptingCall {
  readonly #wire: ServerInterceptingCallInterface;

  constructor(wire: ServerInterceptingCallInterface) {
    super(wire);
    this.#wire = wire;
  }

  override start(): void {
    const details = 'the server has this service without its replay guard; the call had no effect';
    this.#wire.start({
      onReceiveMetadata: () => this.#wire.sendStatus({ code: status.INTERNAL, details, metadata: null }),
      onReceiveMessage() {},
      onReceiveHalfClose() {},
      onCancel() {},
    });
  }
}
