import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Barrier } from '../waiting/barrier.js';

/** An interceptor before the guard that tells when the server has noticed the end of a call. */
export class Cancellations {
  readonly #noticed = new Barrier();

  readonly interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onCancel: () => void this.#noticed.pass(),
        }),
    });

  /** Resolves when the server knows of `count` calls that they are over. */
  noticed(count = 1): Promise<void> {
    return this.#noticed.reached(count);
  }
}
