import {
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import {
  CommitInDoubtError,
  DatabaseUnavailableError,
  LeaseLostError,
  UnitOfWorkError,
} from 'grpc-replay-guard/database';
import type { Log } from '../platform/log.js';
import { ServiceError } from './service-error.js';

type Handle<Request, Response> = (
  request: Request,
  call: ServerUnaryCall<Request, Response>,
) => Promise<Response>;

/**
 * A gRPC handler from an async function: what it resolves to is the reply, what it throws the status. An error
 * that is not meant for callers is INTERNAL; only the log learns what it was.
 */
export function unary<Request, Response>(
  handle: Handle<Request, Response>,
  log?: Log,
): handleUnaryCall<Request, Response> {
  const answer = async (call: ServerUnaryCall<Request, Response>) => handle(call.request, call);
  return (call, callback) => {
    answer(call)
      .then(
        (reply) => callback(null, reply),
        (error) => callback(statusOf(error, call.getPath(), log)),
      )
      .catch((error) => log?.error({ err: error, method: call.getPath() }, 'the reply could not be sent'));
  };
}

function statusOf(error: unknown, method: string, log: Log | undefined): Partial<StatusObject> {
  if (error instanceof ServiceError) return ofServiceError(error);
  const unavailable = messageIfUnavailable(error);
  if (unavailable) {
    log?.warn({ err: error, method }, 'a call failed for now');
    return { code: status.UNAVAILABLE, details: unavailable };
  }
  log?.error({ err: error, method }, 'a call failed unexpectedly');
  return { code: status.INTERNAL, details: 'internal error' };
}

function ofServiceError({ code, message, details }: ServiceError): Partial<StatusObject> {
  if (!details) return { code, details: message };
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', details);
  return { code, details: message, metadata };
}

function messageIfUnavailable(error: unknown): string | undefined {
  if (error instanceof DatabaseUnavailableError) return 'the database is unavailable, try again';
  if (error instanceof LeaseLostError) return 'another execution took over, try again';
  if (error instanceof CommitInDoubtError) return 'it is not known whether the call took effect, try again';
  // What made the transaction unusable matters, not that it was used once more.
  return error instanceof UnitOfWorkError ? messageIfUnavailable(error.cause) : undefined;
}
