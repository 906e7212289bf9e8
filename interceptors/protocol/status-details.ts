import protobuf from 'protobufjs';

/** A detail of a `google.rpc.Status`. The messages are defined in google/rpc/error_details.proto (AIP-193). */
export type StatusDetail =
  | { readonly errorInfo: { reason: string; domain: string; metadata?: Record<string, string> } }
  | { readonly badRequest: { fieldViolations: readonly { field: string; description: string }[] } }
  | { readonly retryInfo: { retryDelayMs: number } };

const field = (id: number, type: string, rule?: 'repeated') => ({ id, type, ...(rule && { rule }) });

const types: protobuf.INamespace = {
  nested: {
    Status: {
      fields: { code: field(1, 'int32'), message: field(2, 'string'), details: field(3, 'Any', 'repeated') },
    },
    Any: { fields: { type_url: field(1, 'string'), value: field(2, 'bytes') } },
    ErrorInfo: {
      fields: {
        reason: field(1, 'string'),
        domain: field(2, 'string'),
        metadata: { keyType: 'string', ...field(3, 'string') } as protobuf.IMapField,
      },
    },
    BadRequest: { fields: { fieldViolations: field(1, 'FieldViolation', 'repeated') } },
    FieldViolation: { fields: { field: field(1, 'string'), description: field(2, 'string') } },
    RetryInfo: { fields: { retryDelay: field(1, 'Duration') } },
    Duration: { fields: { seconds: field(1, 'int64'), nanos: field(2, 'int32') } },
  },
};

const root = protobuf.Root.fromJSON(types);

const encode = (type: string, message: object): Uint8Array => root.lookupType(type).encode(message).finish();

const pack = (type: string, message: object) => ({
  type_url: `type.googleapis.com/google.rpc.${type}`,
  value: encode(type, message),
});

/** Encodes a `google.rpc.Status` for the trailer `grpc-status-details-bin`. */
export function statusDetails(code: number, message: string, details: readonly StatusDetail[]): Buffer {
  return Buffer.from(encode('Status', { code, message, details: details.map(packDetail) }));
}

function packDetail(detail: StatusDetail) {
  if ('errorInfo' in detail) return pack('ErrorInfo', detail.errorInfo);
  if ('badRequest' in detail) return pack('BadRequest', detail.badRequest);
  const ms = detail.retryInfo.retryDelayMs;
  return pack('RetryInfo', {
    retryDelay: { seconds: Math.floor(ms / 1_000), nanos: Math.round((ms % 1_000) * 1e6) },
  });
}

/** The details of a failed call that a client uses. */
export interface FailureDetails {
  readonly errorInfo?: { readonly reason: string; readonly domain: string };
  /** The delay of the RetryInfo, in milliseconds. */
  readonly retryDelayMs?: number;
}

interface Packed {
  readonly type_url: string;
  readonly value: Uint8Array;
}

/** Reads the bytes of `grpc-status-details-bin`. Returns no details if the bytes are not a `google.rpc.Status`. */
export function readStatusDetails(bytes: Uint8Array): FailureDetails {
  try {
    const { details } = decode<{ details: Packed[] }>('Status', bytes);
    const errorInfo = unpack<{ reason: string; domain: string }>(details, 'ErrorInfo');
    const retry = unpack<{ retryDelay?: { seconds: number; nanos: number } | null }>(details, 'RetryInfo');
    const delay = retry?.retryDelay;
    return {
      ...(errorInfo && { errorInfo: { reason: errorInfo.reason, domain: errorInfo.domain } }),
      ...(delay && { retryDelayMs: delay.seconds * 1_000 + delay.nanos / 1e6 }),
    };
  } catch {
    return {};
  }
}

function unpack<T>(details: readonly Packed[], type: string): T | undefined {
  const packed = details.find(({ type_url }) => type_url.endsWith(`/google.rpc.${type}`));
  return packed && decode<T>(type, packed.value);
}

function decode<T>(type: string, bytes: Uint8Array): T {
  const message = root.lookupType(type);
  return message.toObject(message.decode(bytes), { longs: Number, defaults: true }) as T;
}
