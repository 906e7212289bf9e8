import { createHash } from 'node:crypto';
import { type handleUnaryCall, Metadata, status } from '@grpc/grpc-js';
import type { Database } from 'grpc-replay-guard/database';

/** The part of a method's definition that stores and restores replies. */
interface Codec<Request, Response> {
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseSerialize: (response: Response) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => unknown;
}

const find = 'SELECT fingerprint, reply FROM bench_records WHERE id = $1';

const insert = `
  INSERT INTO bench_records (id, fingerprint, expires_at) VALUES ($1, $2, $3)
  ON CONFLICT (id) DO NOTHING RETURNING id`;

const update = 'UPDATE bench_records SET reply = $2 WHERE id = $1';

const RETENTION_MS = 86_400_000;

/** A handler that keeps its keys itself: SELECT, INSERT, the work and UPDATE in one transaction. */
export function dedupInHandler<Request, Response>(
  database: Database,
  codec: Codec<Request, Response>,
  handle: handleUnaryCall<Request, Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const id = digest(String(call.metadata.get('idempotency-key')[0]));
    const fingerprint = digest(codec.requestSerialize(call.request));
    const stored = async (): Promise<Response | undefined> => {
      const [record] = await database.query(find, [id]);
      if (!record) return undefined;
      if (!fingerprint.equals(record.fingerprint as Buffer)) throw new Error('the key has another request');
      return codec.responseDeserialize(record.reply as Buffer) as Response;
    };
    const execute = () =>
      new Promise<Response>((resolve, reject) => {
        handle(call, (error, response) => (error ? reject(error) : resolve(response as Response)));
      });
    const answer = async () => {
      const first = await stored();
      if (first) return { response: first, isReplay: true };
      return database.transaction(async () => {
        // A concurrent duplicate waits here until the first call has committed.
        const claimed = await database.query(insert, [id, fingerprint, Date.now() + RETENTION_MS]);
        if (claimed.length === 0) return { response: (await stored()) as Response, isReplay: true };
        const response = await execute();
        await database.query(update, [id, codec.responseSerialize(response)]);
        return { response, isReplay: false };
      });
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

function digest(value: string | Buffer): Buffer {
  return createHash('sha256').update(value).digest();
}
