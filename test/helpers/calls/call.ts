import {
  type CallOptions,
  type ChannelCredentials,
  Client,
  type ClientOptions,
  type ClientUnaryCall,
  Metadata,
  type StatusObject,
  type status,
} from '@grpc/grpc-js';
import { decodeStatusDetails, type StatusDetails } from '../messages/status-details.js';

/** The parts of a method definition that a client needs. The definitions of proto-loader have them. */
export interface Method<Q, R> {
  readonly path: string;
  readonly requestSerialize: (request: Q) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => R;
}

/** The settings of one call: metadata besides the request, and limits. */
export interface CallSettings {
  /** Sent as `idempotency-key`. */
  readonly key?: string;
  readonly metadata?: Record<string, string | string[]> | Metadata;
  /** The deadline, in milliseconds from now. Default: none. */
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /** Called when a message of a stream arrives. */
  readonly onMessage?: () => void;
}

/** The end of a unary call, successful or not. */
export interface Reply<R> {
  readonly code: status;
  readonly details: string;
  /** Absent on failures. */
  readonly message: R | undefined;
  /** The message bytes as received; absent on failures. */
  readonly bytes: Buffer | undefined;
  readonly initial: Metadata | undefined;
  readonly trailers: Metadata;
  /** Whether the trailers mark this reply as a replay. */
  readonly replayed: boolean;
  readonly statusDetails: StatusDetails | undefined;
}

/** The end of a server-streaming call, with the message bytes as received. */
export interface StreamReply extends Omit<Reply<never>, 'message' | 'bytes'> {
  readonly messages: readonly Buffer[];
}

/** A client with a TCP connection of its own. */
export class Connection {
  readonly client: Client;

  constructor(address: string, credentials: ChannelCredentials, options: ClientOptions = {}) {
    const alone = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
    this.client = new Client(address, credentials, { ...alone, ...options });
  }

  /** Makes one unary call without retries. Never rejects. */
  call<Q, R>(method: Method<Q, R>, request: Q, settings: CallSettings = {}): Promise<Reply<R>> {
    return this.callBytes(method, method.requestSerialize(request), settings);
  }

  /** Makes one unary call like `call`, with the given request bytes. */
  callBytes<R>(method: Method<never, R>, request: Buffer, settings: CallSettings = {}): Promise<Reply<R>> {
    return new Promise((resolve) => {
      let message: R | undefined;
      let bytes: Buffer | undefined;
      let initial: Metadata | undefined;
      const call: ClientUnaryCall = this.client.makeUnaryRequest<Buffer, R>(
        method.path,
        (ready) => ready,
        (received) => {
          bytes = received;
          return method.responseDeserialize(received);
        },
        request,
        toMetadata(settings),
        toOptions(settings),
        (_error, reply) => {
          message = reply;
        },
      );
      call.on('metadata', (metadata) => {
        initial = metadata;
      });
      call.on('status', ({ code, details, metadata }) => {
        const received = code === 0 ? { message, bytes } : { message: undefined, bytes: undefined };
        resolve({ code, details, ...received, initial, trailers: metadata, ...replyState(metadata) });
      });
      settings.signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  /** Makes one server-streaming call without retries. Never rejects. */
  async stream(path: string, request: Buffer, settings: CallSettings = {}): Promise<StreamReply> {
    const asIs = (bytes: Buffer) => bytes;
    const [metadata, options] = [toMetadata(settings), toOptions(settings)];
    const call = this.client.makeServerStreamRequest(path, asIs, asIs, request, metadata, options);
    const messages: Buffer[] = [];
    let initial: Metadata | undefined;
    settings.signal?.addEventListener('abort', () => call.cancel(), { once: true });
    call.on('metadata', (received) => {
      initial = received;
    });
    call.on('data', (message) => {
      messages.push(message);
      settings.onMessage?.();
    });
    // The status event reports the same error.
    call.on('error', () => {});
    const over = new Promise((resolve) => call.on('end', resolve));
    const {
      code,
      details,
      metadata: trailers,
    } = await new Promise<StatusObject>((resolve) => call.on('status', resolve));
    await over;
    return { code, details, messages, initial, trailers, ...replyState(trailers) };
  }

  close(): void {
    this.client.close();
  }
}

function toMetadata({ key, metadata = {} }: CallSettings): Metadata {
  const sent = metadata instanceof Metadata ? metadata.clone() : new Metadata();
  if (!(metadata instanceof Metadata)) {
    for (const [name, values] of Object.entries(metadata))
      for (const value of [values].flat()) sent.add(name, value);
  }
  if (key !== undefined) sent.set('idempotency-key', key);
  return sent;
}

function toOptions({ deadlineMs }: CallSettings): CallOptions {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}

function replyState(trailers: Metadata) {
  const [packed] = trailers.get('grpc-status-details-bin');
  return {
    replayed: trailers.get('idempotent-replayed')[0] === 'true',
    statusDetails: packed instanceof Buffer ? decodeStatusDetails(packed) : undefined,
  };
}
