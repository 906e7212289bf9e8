import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import type { GuardedMethod } from '../method/guarded-method.js';
import type { Reply } from '../reply/reply.js';
import { ownMetadata } from '../reply/trailers.js';

/** A status as handlers give it to grpc-js. */
export type PartialStatusObject = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** What the handler answered cannot be sent. */
export class ResponseError extends Error {
  override name = 'ResponseError';
}

/** How the handler ended by itself, or was ended because its reply outgrew the method's limit. */
export type HandlerResult =
  | { readonly reply: Reply }
  | { readonly failure: unknown }
  | { readonly tooLarge: true };

/** grpc-js answers a handler's synchronous throw with UNKNOWN by itself, in these words. */
const thrown = /^(Unknown error|Server method handler threw error)/;

/** Names that HTTP/2 keeps to itself (RFC 9113, section 8.2.2): Node refuses to send them. */
const ofTheConnection =
  /^(:.*|connection|keep-alive|proxy-connection|transfer-encoding|upgrade|te|http2-settings)$/;

/** Collects one handler's answer; what comes after its end is ignored. */
export class ReplyCapture {
  /** Whether the handler's synchronous part is over. */
  started = false;
  readonly #method: GuardedMethod;
  readonly #resolve: (end: HandlerResult) => void;
  #initial = new Metadata();
  readonly #messages: Buffer[] = [];
  #bytes = 0;
  #ended = false;

  /** @param resolve called once, at the end */
  constructor(method: GuardedMethod, resolve: (end: HandlerResult) => void) {
    this.#method = method;
    this.#resolve = resolve;
  }

  metadata(metadata: Metadata): void {
    this.#initial = ownMetadata(metadata);
    this.#assertSendable(metadata);
  }

  message(response: unknown): void {
    const isSecond = this.#messages.length > 0 && !this.#method.streams;
    if (this.#ended || isSecond) return;
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
    if (!this.started && code === status.UNKNOWN && thrown.test(details)) {
      this.fail(new Error(details));
      return;
    }
    const trailing = ownMetadata(end.metadata ?? undefined);
    this.#assertSendable(trailing);
    // Of a failure the status alone is kept: what was streamed before it was rolled back with the rest.
    const messages = code === status.OK ? this.#messages : [];
    this.#end({ reply: { code, details, messages, initial: this.#initial, trailing } });
  }

  /** False where the handler has already ended. */
  fail(failure: unknown): boolean {
    return this.#end({ failure });
  }

  /** Judged before the commit: what cannot be sent must not become the operation's reply. */
  #assertSendable(metadata: Metadata): void {
    const refused = Object.keys(metadata.getMap()).find((name) => ofTheConnection.test(name));
    if (refused) this.fail(new ResponseError(`metadata ${refused} cannot be sent over HTTP/2`));
  }

  #end(end: HandlerResult): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#resolve(end);
    return true;
  }
}
