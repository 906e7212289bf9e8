import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { Barrier } from '../waiting/barrier.js';

/** An interceptor in front of the guard that reports when the server has detected the end of a call. */
export class Cancellations {
  readonly #noticed = new Barrier();

  /** Install this interceptor before the guard. */
  readonly interceptor: ServerInterceptor = (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onCancel: () => void this.#noticed.pass(),
        }),
    });

  /** Resolves when the server has detected the end of `count` calls. */
  noticed(count = 1): Promise<void> {
    return this.#noticed.reached(count);
  }
}
