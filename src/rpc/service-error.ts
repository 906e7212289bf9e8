import { status } from '@grpc/grpc-js';
import { statusDetails } from 'grpc-replay-guard/protocol';

/** The `domain` of the ErrorInfo in every failure of the services. */
const DOMAIN = 'shop';

/** A request field with a wrong value. */
export interface FieldViolation {
  /** The path of the field in the request, with the names of the .proto: `lines[0].sku`. */
  readonly field: string;
  readonly description: string;
}

/** A failure that the caller receives as a gRPC status with a code, a message and details. */
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

// In some languages a client accepts 8 KiB of trailers by default. This number of violations always fits.
const MAX_VIOLATIONS = 64;

/** Makes an INVALID_ARGUMENT failure with the first 64 violations and the number of further violations. */
export function invalidFields(violations: readonly FieldViolation[]): ServiceError {
  const code = status.INVALID_ARGUMENT;
  const fieldViolations = violations.slice(0, MAX_VIOLATIONS);
  const omitted = violations.length - fieldViolations.length;
  if (omitted > 0) fieldViolations.push({ field: '', description: `and ${omitted} more violations` });
  const message = `invalid request: ${[...new Set(violations.map((v) => v.field))].slice(0, 8).join(', ')}`;
  return new ServiceError(code, message, statusDetails(code, message, [{ badRequest: { fieldViolations } }]));
}

/** Makes a failure with an ErrorInfo, so that programs can read its `reason` and `metadata`. */
export function failure(
  code: status,
  reason: string,
  message: string,
  metadata: Readonly<Record<string, string>> = {},
): ServiceError {
  const details = statusDetails(code, message, [{ errorInfo: { reason, domain: DOMAIN, metadata } }]);
  return new ServiceError(code, message, details);
}

/** NOT_FOUND: the resource does not exist. */
export function notFound(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.NOT_FOUND, reason, message, metadata);
}

/** ALREADY_EXISTS: an earlier execution of the same operation created the resource. */
export function alreadyExists(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.ALREADY_EXISTS, reason, message, metadata);
}

/** FAILED_PRECONDITION: the same request fails until the state of the shop changes. */
export function failedPrecondition(
  reason: string,
  message: string,
  metadata: Readonly<Record<string, string>>,
) {
  return failure(status.FAILED_PRECONDITION, reason, message, metadata);
}

/** OUT_OF_RANGE: the result would not fit into its field. */
export function outOfRange(reason: string, message: string, metadata: Readonly<Record<string, string>>) {
  return failure(status.OUT_OF_RANGE, reason, message, metadata);
}
