import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import type { GuardedMethod } from './guarded-method.js';
import type { Reply } from './reply.js';

/** A status as handlers give it to grpc-js. */
export type PartialStatusObject = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** The message was no valid response: serializing it failed. */
export class ResponseError extends Error {
  override name = 'ResponseError';
}

/** How the handler ended by itself. */
export type HandlerEnd = { readonly reply: Reply } | { readonly failure: unknown };

/** grpc-js answers a handler's synchronous throw with UNKNOWN by itself, in these words. */
const thrown = /^(Unknown error|Server method handler threw error)/;

/** Collects one handler's answer; what comes after its first status is ignored. */
export class Capture {
  /** Whether the handler's synchronous part is over. */
  started = false;
  readonly #method: GuardedMethod;
  readonly #resolve: (end: HandlerEnd) => void;
  #initial = new Metadata();
  #message: Buffer | undefined;
  #ended = false;

  constructor(method: GuardedMethod, resolve: (end: HandlerEnd) => void) {
    this.#method = method;
    this.#resolve = resolve;
  }

  metadata(metadata: Metadata): void {
    this.#initial = metadata;
  }

  message(response: unknown): void {
    if (this.#ended || this.#message) return;
    try {
      this.#message = this.#method.serialize(response);
    } catch (cause) {
      this.fail(new ResponseError('the response cannot be serialized', { cause }));
    }
  }

  status(end: PartialStatusObject): void {
    const { code = status.UNKNOWN, details = '' } = end;
    if (!this.started && code === status.UNKNOWN && thrown.test(details)) {
      this.fail(new Error(details));
      return;
    }
    this.#end({
      reply: {
        code,
        details,
        ...(this.#message && code === status.OK && { message: this.#message }),
        initial: this.#initial,
        trailing: end.metadata?.clone() ?? new Metadata(),
      },
    });
  }

  fail(failure: unknown): boolean {
    return this.#end({ failure });
  }

  #end(end: HandlerEnd): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#resolve(end);
    return true;
  }
}
