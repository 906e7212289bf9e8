import { Metadata, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { GuardedMethod } from '../method/guarded-method.js';
import type { ExceededLimit } from '../refusal/refusal.js';
import { ResponseError } from '../reply/header-block.js';
import { ownMetadata } from '../reply/own-metadata.js';
import type { Reply } from '../reply/reply.js';
import { exceededLimit, isStatusCode, MESSAGE_PREFIX_BYTES, type ReplyLimits } from '../reply/sendable.js';

/** A status in the form in which grpc-js handlers send it. */
export type PartialStatusObject = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

/** How a handler ended: with a reply, with a failure, or with a reply above a size limit. */
export type HandlerResult =
  | {
      readonly reply: Reply;
      /** Present if the reply replaces a failure of the handler that cannot be sent. Tells why. */
      readonly replaced?: Error;
    }
  | { readonly failure: unknown }
  | { readonly tooLarge: ExceededLimit };

/** The details of the status UNKNOWN that grpc-js sends after a handler has thrown synchronously. */
const handlerThrew = /^(Unknown error|Server method handler threw error)/;

/**
 * Collects the answer of one handler, and judges it as a whole: a reply that cannot be sent must not be committed. Calls
 * after the end of the answer have no effect.
 */
export class ReplyCapture {
  /** Whether the synchronous part of the handler has ended. */
  started = false;
  readonly #method: GuardedMethod;
  readonly #limits: ReplyLimits;
  #initial: Metadata | undefined;
  readonly #messages: Buffer[] = [];
  #bytes = 0;
  /** Undefined until the answer has ended. */
  #result: HandlerResult | undefined;
  /** Called at the end of the answer. */
  #onEnd: ((result: HandlerResult) => void) | undefined;

  constructor(method: GuardedMethod, limits: ReplyLimits) {
    this.#method = method;
    this.#limits = limits;
  }

  /** Returns the result at once if the answer has ended, otherwise a promise of the result. */
  result(): MaybePromise<HandlerResult> {
    if (this.#result) return this.#result;
    return new Promise((resolve) => {
      this.#onEnd = resolve;
    });
  }

  /** As in grpc-js, the first initial metadata counts, and only before the first message. */
  metadata(metadata: Metadata): void {
    if (this.#initial || this.#messages.length > 0) return;
    try {
      this.#initial = ownMetadata(metadata);
    } catch (cause) {
      this.fail(new ResponseError('the initial metadata is not a Metadata object', { cause }));
    }
  }

  message(response: unknown): void {
    const isSecond = this.#messages.length > 0 && !this.#method.streams;
    if (this.#result || isSecond) return;
    const { maxReplyBytes, maxMessageBytes } = this.#limits;
    try {
      const bytes = this.#method.serialize(response);
      if (!Buffer.isBuffer(bytes)) throw new TypeError('the serializer must return a Buffer');
      this.#messages.push(bytes);
      this.#bytes += MESSAGE_PREFIX_BYTES + bytes.length;
      if (bytes.length > maxMessageBytes)
        this.#end({ tooLarge: { part: 'message', limit: maxMessageBytes } });
    } catch (cause) {
      this.fail(new ResponseError('the response cannot be serialized', { cause }));
    }
    if (this.#bytes > maxReplyBytes) this.#end({ tooLarge: { part: 'reply', limit: maxReplyBytes } });
  }

  status(end: PartialStatusObject): void {
    const { code = status.UNKNOWN, details = '' } = end;
    if (
      !this.started &&
      code === status.UNKNOWN &&
      typeof details === 'string' &&
      handlerThrew.test(details)
    ) {
      this.fail(new Error(details));
      return;
    }
    try {
      const reply = this.#replyOf(end);
      const tooLarge = exceededLimit(reply, this.#limits);
      if (!tooLarge) this.#end({ reply });
      else if (this.#isStored(code)) this.#end({ tooLarge });
      else this.#replace(code, new ResponseError(`the ${tooLarge.part} exceeds the limit ${tooLarge.limit}`));
    } catch (cause) {
      const error = new ResponseError('the answer cannot be sent', { cause });
      if (this.#isStored(code) || !isStatusCode(code)) this.fail(error);
      else this.#replace(code, error);
    }
  }

  /** Ends the answer as failed. Returns false when the answer has already ended. */
  fail(failure: unknown): boolean {
    return this.#end({ failure });
  }

  #replyOf({ code = status.UNKNOWN, details = '', metadata }: PartialStatusObject): Reply {
    const trailing = ownMetadata(metadata ?? undefined);
    // A failure rolls the writes back, so the streamed messages of the handler are also dropped.
    const messages = code === status.OK ? this.#messages : [];
    // A handler in JavaScript may set any value. grpc-js sends its text.
    return { code, details: `${details}`, messages, initial: this.#initial ?? new Metadata(), trailing };
  }

  #isStored(code: status): boolean {
    return code === status.OK || this.#method.policy.replayedCodes.includes(code);
  }

  /** Ends the answer with the status code of a failure that is not stored. A client acts on the code of a failure. */
  #replace(code: status, replaced: Error): void {
    const details = 'the status message or the metadata of this failure cannot be sent';
    const reply = { code, details, messages: [], initial: new Metadata(), trailing: new Metadata() };
    this.#end({ reply, replaced });
  }

  #end(result: HandlerResult): boolean {
    if (this.#result) return false;
    this.#result = result;
    this.#onEnd?.(result);
    return true;
  }
}
