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

/** What a client needs of a method; the definitions of proto-loader have it. */
export interface Method<Q, R> {
  readonly path: string;
  readonly requestSerialize: (request: Q) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => R;
}

export interface CallSettings {
  /** Sent as `idempotency-key`. */
  readonly key?: string;
  readonly metadata?: Record<string, string | string[]> | Metadata;
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  /** Told of each message of a stream as it comes. */
  readonly onMessage?: () => void;
}

/** How a call ended, whichever way it did. */
export interface Reply<R> {
  readonly code: status;
  readonly details: string;
  /** Absent on failures. */
  readonly message: R | undefined;
  /** The message as it came over the wire; absent on failures. */
  readonly bytes: Buffer | undefined;
  readonly initial: Metadata | undefined;
  readonly trailers: Metadata;
  /** Whether the trailers say that an earlier execution stored this reply. */
  readonly replayed: boolean;
  readonly statusDetails: StatusDetails | undefined;
}

/** How a call whose replies stream ended; the messages as they came over the wire. */
export interface StreamReply extends Omit<Reply<never>, 'message' | 'bytes'> {
  readonly messages: readonly Buffer[];
}

/** A client with a TCP connection that it shares with no other. */
export class Connection {
  readonly client: Client;

  constructor(address: string, credentials: ChannelCredentials, options: ClientOptions = {}) {
    const alone = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_retries': 0 };
    this.client = new Client(address, credentials, { ...alone, ...options });
  }

  /** Makes one call, once, without retries. Never rejects. */
  call<Q, R>(method: Method<Q, R>, request: Q, settings: CallSettings = {}): Promise<Reply<R>> {
    return this.callBytes(method, method.requestSerialize(request), settings);
  }

  /** As `call`, with the request's bytes as given. */
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
        const seen = code === 0 ? { message, bytes } : { message: undefined, bytes: undefined };
        resolve({ code, details, ...seen, initial, trailers: metadata, ...judged(metadata) });
      });
      settings.signal?.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }

  /** Makes one call of a method whose replies stream. Never rejects. */
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
    // Told by the status as well.
    call.on('error', () => {});
    const over = new Promise((resolve) => call.on('end', resolve));
    const {
      code,
      details,
      metadata: trailers,
    } = await new Promise<StatusObject>((resolve) => call.on('status', resolve));
    await over;
    return { code, details, messages, initial, trailers, ...judged(trailers) };
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

function judged(trailers: Metadata) {
  const [packed] = trailers.get('grpc-status-details-bin');
  return {
    replayed: trailers.get('idempotent-replayed')[0] === 'true',
    statusDetails: packed instanceof Buffer ? decodeStatusDetails(packed) : undefined,
  };
}
