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

export interface WatchRequest {
  readonly account: string;
}

export type WatchCall = ServerWritableStream<WatchRequest, string>;

const texts = {
  requestSerialize: ({ account }: WatchRequest) => Buffer.from(account),
  requestDeserialize: (bytes: Buffer): WatchRequest => ({ account: bytes.toString() }),
  responseSerialize: (text: string) => Buffer.from(text),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

export const WATCH = '/test.v1.Feed/Watch';
export const UPLOAD = '/test.v1.Feed/Upload';

/** A method whose replies stream. */
export const feed: ServiceDefinition = { Watch: method(WATCH, false, true) };

/** A method whose requests stream. */
export const uploads: ServiceDefinition = { Upload: method(UPLOAD, true, false) };

function method(path: string, requestStream: boolean, responseStream: boolean) {
  const definition: MethodDefinition<WatchRequest, string> = {
    ...{ path, requestStream, responseStream, ...texts },
  };
  return definition as MethodDefinition<unknown, unknown>;
}

/** Serves the feed, guarded; `watch` is its handler. */
export async function openFeed(t: Cleanup, guard: ReplayGuard, watch: (call: WatchCall) => unknown) {
  const server = await startServer(t, {
    interceptors: [guard.interceptor],
    services: [[guard.protect(feed), { Watch: watch }]],
  });
  return server.connect();
}

/** A call that is being streamed: what has arrived so far, and how it ended. */
export interface Watched {
  readonly texts: string[];
  readonly ended: Promise<StatusObject>;
  /** Resolves when so many texts have arrived. */
  arrived(count: number): Promise<void>;
  cancel(): void;
}

/** Calls Watch with a key. */
export function watch({ client }: Connection, key: string, account = ''): Watched {
  const metadata = new Metadata();
  metadata.set('idempotency-key', key);
  const { requestSerialize, responseDeserialize } = texts;
  const call = client.makeServerStreamRequest(
    ...([WATCH, requestSerialize, responseDeserialize, { account }, metadata] as const),
  );
  const seen: string[] = [];
  const waiting: { readonly count: number; resolve(): void }[] = [];
  call.on('data', (text: string) => {
    seen.push(text);
    for (const { count, resolve } of waiting) if (seen.length >= count) resolve();
  });
  // Told by the status as well.
  call.on('error', () => {});
  const over = new Promise((resolve) => call.on('end', resolve));
  const status = new Promise<StatusObject>((resolve) => call.on('status', resolve));
  return {
    texts: seen,
    ended: over.then(() => status),
    arrived: (count) => new Promise((resolve) => waiting.push({ count, resolve })),
    cancel: () => call.cancel(),
  };
}
