import protobuf from 'protobufjs';

/** The decoded `grpc-status-details-bin`, with the detail types that this project sends. */
export interface StatusDetails {
  readonly code: number;
  readonly message: string;
  readonly errorInfo?: { reason: string; domain: string; metadata: Record<string, string> };
  readonly badRequest?: { fieldViolations: { field: string; description: string }[] };
  readonly retryInfo?: { retryDelayMs: number };
  /** The types of all details, in order. */
  readonly types: readonly string[];
}

// A second copy of the google/rpc types, so that the tests do not depend on the code under test.
const { root } = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
  message FieldViolation { string field = 1; string description = 2; }
  message BadRequest { repeated FieldViolation field_violations = 1; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
`);

interface Packed {
  typeUrl: string;
  value: Uint8Array;
}

/**
 * Decodes the bytes of `grpc-status-details-bin`.
 * @throws Error if the bytes are not a google.rpc.Status
 */
export function decodeStatusDetails(bytes: Uint8Array): StatusDetails {
  const status = decode<{ code: number; message: string; details: Packed[] }>('Status', bytes);
  const types = status.details.map(({ typeUrl }) => typeUrl.replace('type.googleapis.com/google.rpc.', ''));
  const detail = <T>(type: string): T | undefined => {
    const packed = status.details[types.indexOf(type)];
    return packed && decode<T>(type, packed.value);
  };
  const retry = detail<{ retryDelay: { seconds: number; nanos: number } }>('RetryInfo')?.retryDelay;
  return {
    code: status.code,
    message: status.message,
    types,
    ...present('errorInfo', detail<NonNullable<StatusDetails['errorInfo']>>('ErrorInfo')),
    ...present('badRequest', detail<NonNullable<StatusDetails['badRequest']>>('BadRequest')),
    ...present('retryInfo', retry && { retryDelayMs: retry.seconds * 1000 + retry.nanos / 1e6 }),
  };
}

function decode<T>(type: string, bytes: Uint8Array): T {
  const message = root.lookupType(`google.rpc.${type}`);
  const options = { longs: Number, defaults: true, arrays: true, objects: true };
  return message.toObject(message.decode(bytes), options) as T;
}

function present<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
