import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  status,
} from '@grpc/grpc-js';
import type { Reason } from '../../protocol/reasons.js';
import { LazySignal } from '../../timing/lazy-signal.js';
import type { MaybePromise } from '../../timing/maybe-promise.js';
import type { GuardedMethod } from '../method/guarded-method.js';
import type { ReceivedRequest } from '../method/received-request.js';
import { Verbatim } from '../method/verbatim.js';
import type { CallOutcome } from '../observer.js';
import { refusals } from '../refusal/refusal.js';
import { ownMetadata } from '../reply/own-metadata.js';
import type { Reply } from '../reply/reply.js';
import { isSendable, type ReplyLimits } from '../reply/sendable.js';
import { dropReceivedBytes, forEachCall, reportCancel, sendLimitOf } from './base-call.js';
import { hiddenEntriesOf, withHiddenEntries } from './hidden-entries.js';
import { type HandlerResult, type PartialStatusObject, ReplyCapture } from './reply-capture.js';
import type { SafeTrace, SafeTracing } from './safe-tracing.js';
import { passAnswers } from './unguarded-call.js';

type InterceptingServerListener = Parameters<ServerInterceptingCallInterface['start']>[0];

/**
 * The answer to a call: a reply, live or stored, or a refusal. A refusal has a reason, and no messages. A refusal that is
 * stored as the reply has both.
 */
export type Answer = Pick<Reply, 'code' | 'details'> & Partial<Reply> & { readonly reason?: Reason };

/** Handles guarded calls in one mode of the guard. */
export interface Lifecycle {
  /** Runs once per call, when the metadata has arrived and before the handler receives it. Must not throw. */
  onMetadata?(call: GuardedCall): void;
  /** Runs once per call, when the whole request has arrived. Must neither throw nor reject. */
  handle(call: GuardedCall): MaybePromise<void>;
}

/** The metadata of a call before its metadata has arrived. */
const noMetadata = new Metadata();

/**
 * A call with one request, between the wire and the handler. The handler receives the request only after the guard has
 * decided, so that a waiting call can drop its request. The answer of the handler is captured, and the guard sends it
 * later.
 */
export class GuardedCall extends ServerInterceptingCall {
  readonly method: GuardedMethod;
  /**
   * The metadata of the caller, with the entries that grpc-js and Node hide. The handler receives the metadata of
   * grpc-js. Empty before the metadata has arrived.
   */
  metadata = noMetadata;
  /** The decoded request. Undefined before the request has arrived, and after `dropRequest`. */
  request: object | undefined;
  /** Aborted when the call has ended: with its answer, by its client, or at its deadline. */
  readonly ended = new LazySignal();
  /** The trace of this call. Undefined without tracing, and before the whole request has arrived. */
  trace: SafeTrace | undefined;
  readonly #wire: ServerInterceptingCallInterface;
  readonly #lifecycle: Lifecycle;
  readonly #tracing: SafeTracing | undefined;
  readonly #hiddenEntries: readonly string[] | undefined;
  #listener: InterceptingServerListener | undefined;
  /** The metadata that the handler receives. */
  #handlerMetadata = noMetadata;
  /** Collects the answer of the handler. Undefined until `execute` or `observe` starts the handler. */
  #capture: ReplyCapture | undefined;
  /** Whether the captured answer is also sent. */
  #isLive = false;
  #isAnswered = false;
  #isDropped = false;
  /** The request and its bytes. Undefined before the request has arrived, and after `dropRequest`. */
  #received: ReceivedRequest | undefined;

  constructor(
    wire: ServerInterceptingCallInterface,
    method: GuardedMethod,
    lifecycle: Lifecycle,
    tracing: SafeTracing | undefined,
  ) {
    super(wire);
    this.#wire = wire;
    this.method = method;
    this.#lifecycle = lifecycle;
    this.#tracing = tracing;
    this.#hiddenEntries = hiddenEntriesOf(wire);
    passAnswers(wire);
  }

  /** Whether an interceptor nearer the wire guards the call already, because the server has the interceptor twice. */
  static isGuarded(wire: ServerInterceptingCallInterface, method: GuardedMethod): boolean {
    let isGuarded = false;
    forEachCall(wire, (call) => {
      isGuarded ||= call instanceof GuardedCall && call.method === method;
    });
    return isGuarded;
  }

  /** The time until the deadline of the call, in milliseconds. Infinity without a deadline. */
  get remainingMs(): number {
    return Number(this.getDeadline()) - Date.now();
  }

  /**
   * Returns the fingerprint of the request, 32 bytes. Must be called before a handler can change the request.
   * @throws Error if the request has not arrived, is malformed or is nested too deeply
   */
  fingerprint(): Buffer {
    if (!this.#received) throw new Error('the request has not arrived');
    return this.#received.fingerprint();
  }

  override start(listener: InterceptingServerListener): void {
    this.#listener = listener;
    this.#wire.start({
      onReceiveMetadata: (metadata) => {
        this.metadata = this.#hiddenEntries ? withHiddenEntries(metadata, this.#hiddenEntries) : metadata;
        this.#handlerMetadata = metadata;
        this.#lifecycle.onMetadata?.(this);
        listener.onReceiveMetadata(metadata);
      },
      onReceiveMessage: (message) => this.#receive(message),
      onReceiveHalfClose: () => this.#handle(),
      onCancel: () => {
        this.ended.abort();
        if (this.#sendsThrough) this.endTrace('bypassed');
        // On a cancellation grpc-js destroys the call of a streaming handler. An execution must continue after its
        // client has disconnected.
        if (this.#sendsThrough) listener.onCancel();
        else if (!this.method.streams) reportCancel(listener);
      },
    });
  }

  #handle(): void {
    this.trace = this.#tracing?.callStarted(this.method.observed, this.metadata);
    if (this.trace) this.trace.run(() => void this.#lifecycle.handle(this));
    else void this.#lifecycle.handle(this);
  }

  /** Ends the trace of the call. @param answer the answer that was sent. Undefined if the call had ended before. */
  endTrace(outcome: CallOutcome, answer?: Pick<Answer, 'code' | 'reason' | 'execution'>): void {
    if (!this.trace) return;
    const { code, reason, execution } = answer ?? {};
    this.trace.ended({ outcome, code, reason, execution });
  }

  #receive(message: object): void {
    if (this.request) {
      this.#isAnswered = true;
      // grpc-js uses this text for unary calls, too. In mode OBSERVE the answer is the same as without a guard.
      const details = `Received a second request message for server streaming method ${this.method.path}`;
      this.#wire.sendStatus({ code: status.UNIMPLEMENTED, details });
      return;
    }
    this.request = message;
    this.#received = this.method.receive(message);
    // grpc-js reads on when the handler has received the request. The guard needs the end of the request before that.
    this.#wire.startRead();
  }

  /** Whether the handler can run. False after `dropRequest`. */
  get canExecute(): boolean {
    return !this.#isDropped;
  }

  /**
   * Drops the request and its bytes, because a call that waits must not hold them. The handler can no longer run. Must
   * not be called after the handler has started.
   */
  dropRequest(): void {
    if (this.#isDropped) return;
    this.#isDropped = true;
    this.request = undefined;
    this.#received = undefined;
    dropReceivedBytes(this.#wire);
  }

  /**
   * Runs the handler unguarded: the answer of the handler goes to the client. The handler gets the request as it came.
   */
  bypass(): void {
    this.#startHandler(this.request);
  }

  /**
   * Runs the handler in the current asynchronous context and captures its answer. The answer is not sent. The handler
   * gets the message of the fingerprint, see `ReceivedRequest`. Returns the result at once if the handler has answered
   * synchronously.
   */
  execute(): MaybePromise<HandlerResult> {
    return this.#run(() => this.#received?.fingerprintedMessage());
  }

  /**
   * Runs the handler, sends its answer to the client, and returns or resolves to the answer. The handler gets the request
   * as it came.
   */
  observe(): MaybePromise<HandlerResult> {
    this.#isLive = true;
    // A streaming handler whose client has disconnected never ends.
    if (this.method.streams)
      this.ended.signal.addEventListener('abort', () => this.fail(new Error('the client has disconnected')));
    return this.#run(() => this.request);
  }

  /** @throws Error if the request was dropped */
  #startHandler(request: object | undefined): void {
    if (this.#isDropped) throw new Error('a call without its request cannot execute');
    if (this.trace) this.trace.runHandler(this.#handlerMetadata, () => this.#forward(request));
    else this.#forward(request);
  }

  #forward(request: object | undefined): void {
    // grpc-js answers a call that has no request.
    if (request) this.#listener?.onReceiveMessage(request);
    this.#listener?.onReceiveHalfClose();
  }

  #run(request: () => object | undefined): MaybePromise<HandlerResult> {
    const capture = new ReplyCapture(this.method, this.#replyLimits);
    this.#capture = capture;
    try {
      this.#startHandler(request());
    } catch (failure) {
      capture.fail(failure);
    }
    capture.started = true;
    return capture.result();
  }

  /** Ends the execution as failed. Returns false when the handler has already answered. */
  fail(error: unknown): boolean {
    return this.#capture?.fail(error) ?? false;
  }

  /** Cancels a streaming handler that still runs, because its further messages would not be sent. */
  cancelHandler(): void {
    if (this.method.streams) this.#listener?.onCancel();
  }

  /**
   * Sends the answer. Only the first answer is sent. After the end of the call, this method has no effect.
   * @returns the given answer. If it is a stored reply that this server cannot send, returns the refusal that the client
   *   receives, IDEMPOTENCY_REPLY_UNREADABLE.
   */
  answer(answer: Answer): Answer {
    if (this.#isAnswered) return answer;
    this.#isAnswered = true;
    const sent = !isReply(answer) || isSendable(answer, this.#replyLimits) ? answer : unsendable();
    try {
      this.#send(sent);
    } catch {
      // Another interceptor has thrown. The client receives a status instead of waiting forever.
      this.#wire.sendStatus({ code: status.INTERNAL, details: 'the answer cannot be sent', metadata: null });
    }
    return sent;
  }

  get #replyLimits(): ReplyLimits {
    const { streams, policy } = this.method;
    return { streams, maxReplyBytes: policy.maxReplyBytes, maxMessageBytes: sendLimitOf(this.#wire) };
  }

  #send(answer: Answer): void {
    const end = { code: answer.code, details: answer.details, metadata: answer.trailing ?? null };
    if (answer.initial && Object.keys(answer.initial.getMap()).length > 0)
      this.#wire.sendMetadata(answer.initial);
    const { messages = [] } = answer;
    // An index, because removing the first of many messages costs time in proportion to their number.
    let next = 0;
    const sendNext = () => {
      const message = messages[next++];
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
    // The status of a unary call follows its message.
    if (this.#sendsThrough && !this.method.streams) this.#isAnswered = true;
    if (!this.#sendsThrough) callback();
    else this.#wire.sendMessage(message, this.#isLive ? this.#alsoAtEnd(callback) : callback);
  }

  /**
   * Returns a callback that also runs at the end of the call. After the end of a call, grpc-js does not run the
   * callback of a message. A unary handler would then never send its status.
   */
  #alsoAtEnd(callback: () => void): () => void {
    // `observe` ends a streaming handler together with its call.
    if (this.method.streams) return callback;
    let isCalled = false;
    const once = () => {
      this.ended.signal.removeEventListener('abort', once);
      if (!isCalled) callback();
      isCalled = true;
    };
    if (this.ended.isAborted) once();
    else this.ended.signal.addEventListener('abort', once);
    return once;
  }

  override sendStatus(end: PartialStatusObject): void {
    this.#capture?.status(end);
    if (!this.#sendsThrough) return;
    this.#isAnswered = true;
    const { code = status.UNKNOWN, metadata } = end;
    this.endTrace('bypassed', { code });
    this.#wire.sendStatus(metadata ? { ...end, metadata: ownMetadata(metadata) } : end);
  }

  /** Whether the answer of the handler goes to the client. */
  get #sendsThrough(): boolean {
    return this.#isLive || !this.#capture;
  }
}

/** Whether an answer is a refusal of the guard that is sent for the first time. */
export function isRefusal(answer: Answer | undefined): answer is Answer & { readonly reason: Reason } {
  return answer?.reason !== undefined;
}

/** Whether an answer is a reply. A refusal has no messages, and the guard itself has made it. */
function isReply(answer: Answer): answer is Reply {
  return answer.messages !== undefined;
}

function unsendable(): Answer {
  const { code, reason, message, metadata } = refusals.replyUnsendable();
  return { code, reason, details: message, trailing: metadata };
}
