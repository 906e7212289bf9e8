import { type handleUnaryCall, Metadata, status } from '@grpc/grpc-js';
import { Idempotency } from '@node-idempotency/core';
import { RedisStorageAdapter } from '@node-idempotency/storage-adapter-redis';

/** How often a duplicate asks whether the first call has ended. The package's default is 100 ms. */
const POLLING_MS = 10;

/**
 * A handler inside `@node-idempotency/core` with its Redis adapter. The reply is stored after the handler's commit, so a
 * crash in between loses the reply: the package does not promise what the guard promises.
 */
export async function withNodeIdempotency<Request extends object, Response extends object>(
  redisUrl: string,
  path: string,
  handle: handleUnaryCall<Request, Response>,
): Promise<handleUnaryCall<Request, Response>> {
  const storage = new RedisStorageAdapter({ url: redisUrl });
  await storage.connect();
  const idempotency = new Idempotency(storage, {
    inProgressStrategy: { wait: true, pollingIntervalMs: POLLING_MS, maxWaitMs: 5_000 },
  });
  return (call, callback) => {
    const request = {
      headers: { 'idempotency-key': call.metadata.get('idempotency-key')[0] },
      path,
      method: 'POST',
      body: call.request as Record<string, unknown>,
    };
    const execute = () =>
      new Promise<Response>((resolve, reject) => {
        handle(call, (error, response) => (error ? reject(error) : resolve(response as Response)));
      });
    const answer = async () => {
      const stored = await idempotency.onRequest<Response, unknown>(request);
      if (stored) return { response: stored.body as Response, isReplay: true };
      const response = await execute();
      await idempotency.onResponse(request, { body: response });
      return { response, isReplay: false };
    };
    answer().then(
      ({ response, isReplay }) => {
        const trailers = new Metadata();
        if (isReplay) trailers.set('idempotent-replayed', 'true');
        callback(null, response, trailers);
      },
      (error) => callback({ code: status.INTERNAL, details: String(error) }),
    );
  };
}
