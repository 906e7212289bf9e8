import { status } from '@grpc/grpc-js';
import { statusDetails } from 'grpc-replay-guard/protocol';

/** The domain of the reasons that the services give in ErrorInfo. */
const DOMAIN = 'shop';

/** A violated field by its path in the request, as the .proto names it: `lines[0].sku`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** A failure that the caller is told about, with its code, its message and its details. */
export class ServiceError extends Error {
  override name = 'ServiceError';
  readonly code: status;
  /** An encoded google.rpc.Status. */
  readonly details: Buffer | undefined;

  constructor(code: status, message: string, details?: Buffer) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

// A client reads 8 KiB of trailers by default in some languages; this many violations always fit.
const MOST_VIOLATIONS = 64;

/** INVALID_ARGUMENT with every violated field, or with the first 64 and how many more there are. */
export function invalidFields(violations: readonly FieldViolation[]): ServiceError {
  const code = status.INVALID_ARGUMENT;
  const fieldViolations = violations.slice(0, MOST_VIOLATIONS);
  const left = violations.length - fieldViolations.length;
  if (left > 0) fieldViolations.push({ field: '', description: `and ${left} more violations` });
  const message = `invalid request: ${[...new Set(violations.map((v) => v.field))].slice(0, 8).join(', ')}`;
  return new ServiceError(code, message, statusDetails(code, message, [{ badRequest: { fieldViolations } }]));
}

/** A failure whose ErrorInfo gives `reason` and `metadata`, for programs to decide by. */
export function failure(
  code: status,
  reason: string,
  message: string,
  metadata: Readonly<Record<string, string>> = {},
): ServiceError {
  const details = statusDetails(code, message, [{ errorInfo: { reason, domain: DOMAIN, metadata } }]);
  return new ServiceError(code, message, details);
}

/** NOT_FOUND: there is no such thing. */
export function notFound(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.NOT_FOUND, reason, message, metadata);
}

/** ALREADY_EXISTS: what the call would make was made by the same operation before. */
export function alreadyExists(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.ALREADY_EXISTS, reason, message, metadata);
}

/** FAILED_PRECONDITION: the same request fails until the state of the shop has changed. */
export function failedPrecondition(
  reason: string,
  message: string,
  metadata: Readonly<Record<string, string>>,
) {
  return failure(status.FAILED_PRECONDITION, reason, message, metadata);
}

/** OUT_OF_RANGE: the result would be larger than its field can hold. */
export function outOfRange(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.OUT_OF_RANGE, reason, message, metadata);
}
