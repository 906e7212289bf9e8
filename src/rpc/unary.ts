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
 * Makes a gRPC handler from an async function. The function resolves to the reply. A ServiceError becomes the
 * status of the call, and a transient database error becomes UNAVAILABLE. Any other error becomes INTERNAL and is
 * written to the log only.
 */
export function unary<Request, Response>(
  handle: Handle<Request, Response>,
  log?: Log,
): handleUnaryCall<Request, Response> {
  return async (call, callback) => {
    let answer: () => void;
    try {
      const reply = await handle(call.request, call);
      answer = () => callback(null, reply);
    } catch (error) {
      answer = () => callback(statusOf(error, call.getPath(), log));
    }
    try {
      answer();
    } catch (error) {
      log?.error({ err: error, method: call.getPath() }, 'the reply could not be sent');
    }
  };
}

function statusOf(error: unknown, method: string, log: Log | undefined): Partial<StatusObject> {
  if (error instanceof ServiceError) return statusOfServiceError(error);
  const unavailable = messageIfUnavailable(error);
  if (unavailable) {
    log?.warn({ err: error, method }, 'a call failed; a retry may succeed');
    return { code: status.UNAVAILABLE, details: unavailable };
  }
  log?.error({ err: error, method }, 'a call failed unexpectedly');
  return { code: status.INTERNAL, details: 'internal error' };
}

function statusOfServiceError({ code, message, details }: ServiceError): Partial<StatusObject> {
  if (!details) return { code, details: message };
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', details);
  return { code, details: message, metadata };
}

function messageIfUnavailable(error: unknown): string | undefined {
  if (error instanceof DatabaseUnavailableError) return 'the database is unavailable, try again';
  if (error instanceof LeaseLostError) return 'another execution took over, try again';
  if (error instanceof CommitInDoubtError) return 'the outcome of the call is unknown, try again';
  // The cause is the failure that made the transaction unusable.
  return error instanceof UnitOfWorkError ? messageIfUnavailable(error.cause) : undefined;
}
