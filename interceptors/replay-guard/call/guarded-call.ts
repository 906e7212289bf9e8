import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  status,
} from '@grpc/grpc-js';
import { type GuardedMethod, Verbatim } from '../method/guarded-method.js';
import type { Reply } from '../reply/reply.js';
import { ownMetadata } from '../reply/trailers.js';
import { type HandlerResult, type PartialStatusObject, ReplyCapture } from './reply-capture.js';

type InterceptingServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

/** What the guard answers a call with: a reply, live or stored, or a refusal, which is one without a message. */
export type Answer = Pick<Reply, 'code' | 'details'> & Partial<Reply>;

/** Who sees a call through. */
export interface Lifecycle {
  /** Told once, when the metadata has arrived and before the handler sees it; must not throw. */
  announce?(call: GuardedCall): void;
  /** Given the call once, when the whole request has arrived; must not reject. */
  serve(call: GuardedCall): Promise<void>;
}

/**
 * A call with one request between the wire and the handler. The request is held back at its end until the
 * guard decides; what the handler answers is captured instead of sent.
 */
export class GuardedCall extends ServerInterceptingCall {
  readonly method: GuardedMethod;
  metadata = new Metadata();
  request: object | undefined;
  readonly #wire: ServerInterceptingCallInterface;
  readonly #attendant: Lifecycle;
  readonly #gone = new AbortController();
  #listener: InterceptingServerListener | undefined;
  /** Present once a handler runs whose answer is to be captured. */
  #capture: ReplyCapture | undefined;
  /** Whether what is captured goes out as well. */
  #live = false;
  #answered = false;

  constructor(wire: ServerInterceptingCallInterface, method: GuardedMethod, attendant: Lifecycle) {
    super(wire);
    this.#wire = wire;
    this.method = method;
    this.#attendant = attendant;
  }

  /** Aborted when the call has ended, also when the client went away or its deadline passed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** How much of the call's deadline is left, in milliseconds; Infinity without one. */
  get remainingMs(): number {
    return Number(this.getDeadline()) - Date.now();
  }

  override start(listener: InterceptingServerListener): void {
    this.#listener = listener;
    this.#wire.start({
      onReceiveMetadata: (metadata) => {
        this.metadata = metadata;
        this.#attendant.announce?.(this);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => {
        this.request = message;
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => void this.#attendant.serve(this),
      onCancel: () => {
        this.#gone.abort();
        // grpc-js destroys a streaming handler's call at this: an execution has to outlive its client.
        if (this.#sendsThrough || !this.method.streams) listener.onCancel();
      },
    });
  }

  /** Lets the handler run and answer for itself. */
  bypass(): void {
    this.#listener?.onReceiveHalfClose();
  }

  /** Runs the handler in the current asynchronous context and captures its answer. */
  execute(): Promise<HandlerResult> {
    return this.#run();
  }

  /** Lets the handler run and answer for itself, and tells how it ended. */
  observe(): Promise<HandlerResult> {
    this.#live = true;
    // A streaming handler whose client has left never ends.
    if (this.method.streams) this.gone.addEventListener('abort', () => this.fail(new Error('client gone')));
    return this.#run();
  }

  #run(): Promise<HandlerResult> {
    return new Promise((resolve) => {
      this.#capture = new ReplyCapture(this.method, resolve);
      try {
        this.#listener?.onReceiveHalfClose();
      } catch (failure) {
        this.#capture.fail(failure);
      }
      this.#capture.started = true;
    });
  }

  /** Ends the execution as failed; false where the handler has already answered. */
  fail(error: unknown): boolean {
    return this.#capture?.fail(error) ?? false;
  }

  /** Tells a streaming handler that may still run that nobody takes its messages any more. */
  abandon(): void {
    if (this.method.streams) this.#listener?.onCancel();
  }

  /** Answers the call, once; on a call that has ended it does nothing. */
  answer(answer: Answer): void {
    if (this.#answered) return;
    this.#answered = true;
    try {
      this.#send(answer);
    } catch {
      // Metadata that HTTP/2 does not take: the client learns at least that the call has ended.
      this.#wire.sendStatus({ code: status.INTERNAL, details: 'the answer cannot be sent', metadata: null });
    }
  }

  #send(answer: Answer): void {
    const end = { code: answer.code, details: answer.details, metadata: answer.trailing ?? null };
    if (answer.initial && Object.keys(answer.initial.getMap()).length > 0)
      this.#wire.sendMetadata(answer.initial);
    const messages = [...(answer.messages ?? [])];
    const sendNext = () => {
      const message = messages.shift();
      if (message) this.#wire.sendMessage(new Verbatim(message), sendNext);
      else this.#wire.sendStatus(end);
    };
    sendNext();
  }

  override sendMetadata(metadata: Metadata): void {
    this.#capture?.metadata(metadata);
    if (this.#sendsThrough) this.#wire.sendMetadata(ownMetadata(metadata));
  }

  override sendMessage(message: unknown, callback: () => void): void {
    this.#capture?.message(message);
    if (!this.#sendsThrough) callback();
    else this.#wire.sendMessage(message, this.#live ? this.#calledAtLast(callback) : callback);
  }

  /** On a call that has ended grpc-js calls nothing back, and an observed status would never come. */
  #calledAtLast(callback: () => void): () => void {
    // A streaming handler is ended with its call instead.
    if (this.method.streams) return callback;
    let called = false;
    const once = () => {
      this.gone.removeEventListener('abort', once);
      if (!called) callback();
      called = true;
    };
    if (this.gone.aborted) once();
    else this.gone.addEventListener('abort', once);
    return once;
  }

  override sendStatus(end: PartialStatusObject): void {
    this.#capture?.status(end);
    if (!this.#sendsThrough) return;
    const { metadata } = end;
    this.#wire.sendStatus(metadata ? { ...end, metadata: ownMetadata(metadata) } : end);
  }

  get #sendsThrough(): boolean {
    return this.#live || !this.#capture;
  }
}
