import {
  Metadata,
  type MethodDefinition,
  type ServerWritableStream,
  type ServiceDefinition,
  type StatusObject,
} from '@grpc/grpc-js';
import type { ReplayGuard } from 'grpc-replay-guard';
import type { Connection } from '../calls/call.js';
import type { Cleanup } from '../databases/postgres.js';
import { startServer } from './server.js';

/** A request of Watch, and of Upload. */
export interface WatchRequest {
  readonly account: string;
}

/** A call of Watch, as its handler gets it. */
export type WatchCall = ServerWritableStream<WatchRequest, string>;

const texts = {
  requestSerialize: ({ account }: WatchRequest) => Buffer.from(account),
  requestDeserialize: (bytes: Buffer): WatchRequest => ({ account: bytes.toString() }),
  responseSerialize: (text: string) => Buffer.from(text),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

/** The path of the server-streaming method. */
export const WATCH = '/test.v1.Feed/Watch';
/** The path of the client-streaming method. */
export const UPLOAD = '/test.v1.Feed/Upload';

/** A service with one server-streaming method. */
export const feed: ServiceDefinition = { Watch: method(WATCH, false, true) };

/** A service with one client-streaming method. */
export const uploads: ServiceDefinition = { Upload: method(UPLOAD, true, false) };

function method(path: string, requestStream: boolean, responseStream: boolean) {
  const definition: MethodDefinition<WatchRequest, string> = {
    ...{ path, requestStream, responseStream, ...texts },
  };
  return definition as MethodDefinition<unknown, unknown>;
}

/** Starts a server with the guarded feed, and connects a client. @param watch the handler of Watch */
export async function openFeed(t: Cleanup, guard: ReplayGuard, watch: (call: WatchCall) => unknown) {
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(feed), { Watch: watch }]],
  });
  return server.connect();
}

/** A streaming call: the texts received so far, and the final status. */
export interface Watched {
  readonly texts: string[];
  readonly ended: Promise<StatusObject>;
  /** Resolves when `count` texts have arrived. */
  arrived(count: number): Promise<void>;
  cancel(): void;
}

/** Calls Watch with an idempotency key. */
export function watch({ client }: Connection, key: string, account = ''): Watched {
  const metadata = new Metadata();
  metadata.set('idempotency-key', key);
  const { requestSerialize, responseDeserialize } = texts;
  const call = client.makeServerStreamRequest(
    ...([WATCH, requestSerialize, responseDeserialize, { account }, metadata] as const),
  );
  const received: string[] = [];
  const watchers: { readonly count: number; resolve(): void }[] = [];
  call.on('data', (text: string) => {
    received.push(text);
    for (const { count, resolve } of watchers) if (received.length >= count) resolve();
  });
  // The status event reports the same error.
  call.on('error', () => {});
  const over = new Promise((resolve) => call.on('end', resolve));
  const status = new Promise<StatusObject>((resolve) => call.on('status', resolve));
  return {
    texts: received,
    ended: over.then(() => status),
    arrived: (count) => new Promise((resolve) => watchers.push({ count, resolve })),
    cancel: () => call.cancel(),
  };
}
