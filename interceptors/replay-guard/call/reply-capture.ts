import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { GuardedMethod } from '../method/guarded-method.js';
import type { Reply } from '../reply/reply.js';
import { ownMetadata } from '../reply/trailers.js';

/** A status in the form in which grpc-js handlers send it. */
export type PartialStatusObject = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** The failure of a handler whose answer cannot be serialized or cannot be sent over HTTP/2. */
export class ResponseError extends Error {
  override name = 'ResponseError';
}

/** How a handler ended: with a reply, with a failure, or with a reply above the size limit of the method. */
export type HandlerResult =
  | { readonly reply: Reply }
  | { readonly failure: unknown }
  | { readonly tooLarge: true };

/** The details of the status UNKNOWN that grpc-js sends after a handler has thrown synchronously. */
const handlerThrew = /^(Unknown error|Server method handler threw error)/;

/**
 * Metadata names that describe the connection (RFC 9113, section 8.2.2). Node refuses to send these names over
 * HTTP/2.
 */
const connectionSpecific =
  /^(:.*|connection|keep-alive|proxy-connection|transfer-encoding|upgrade|te|http2-settings)$/;

/** Collects the answer of one handler. Calls after the end of the answer have no effect. */
export class ReplyCapture {
  /** Whether the synchronous part of the handler has ended. */
  started = false;
  readonly #method: GuardedMethod;
  #initial: Metadata | undefined;
  readonly #messages: Buffer[] = [];
  #bytes = 0;
  /** Undefined until the answer has ended. */
  #result: HandlerResult | undefined;
  /** Called at the end of the answer. */
  #onEnd: ((result: HandlerResult) => void) | undefined;

  constructor(method: GuardedMethod) {
    this.#method = method;
  }

  /** Returns the result at once if the answer has ended, otherwise a promise of the result. */
  result(): MaybePromise<HandlerResult> {
    if (this.#result) return this.#result;
    return new Promise((resolve) => {
      this.#onEnd = resolve;
    });
  }

  metadata(metadata: Metadata): void {
    this.#initial = ownMetadata(metadata);
    this.#assertSendable(metadata);
  }

  message(response: unknown): void {
    const isSecond = this.#messages.length > 0 && !this.#method.streams;
    if (this.#result || isSecond) return;
    try {
      const bytes = this.#method.serialize(response);
      this.#messages.push(bytes);
      this.#bytes += bytes.length;
    } catch (cause) {
      this.fail(new ResponseError('the response cannot be serialized', { cause }));
    }
    if (this.#bytes > this.#method.policy.maxReplyBytes) this.#end({ tooLarge: true });
  }

  status(end: PartialStatusObject): void {
    const { code = status.UNKNOWN, details = '' } = end;
    if (!this.started && code === status.UNKNOWN && handlerThrew.test(details)) {
      this.fail(new Error(details));
      return;
    }
    const trailing = ownMetadata(end.metadata ?? undefined);
    this.#assertSendable(trailing);
    // A failure rolls the writes back, so the streamed messages of the handler are also dropped.
    const messages = code === status.OK ? this.#messages : [];
    this.#end({ reply: { code, details, messages, initial: this.#initial ?? new Metadata(), trailing } });
  }

  /** Ends the answer as failed. Returns false when the answer has already ended. */
  fail(failure: unknown): boolean {
    return this.#end({ failure });
  }

  /** Ends the answer as failed if Node refuses its metadata. A reply that cannot be sent must not be stored. */
  #assertSendable(metadata: Metadata): void {
    const refused = Object.keys(metadata.getMap()).find((name) => connectionSpecific.test(name));
    if (refused) this.fail(new ResponseError(`metadata ${refused} cannot be sent over HTTP/2`));
  }

  #end(result: HandlerResult): boolean {
    if (this.#result) return false;
    this.#result = result;
    this.#onEnd?.(result);
    return true;
  }
}
