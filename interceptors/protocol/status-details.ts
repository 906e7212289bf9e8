import { bytes, int32, int64, message, repeated, string } from '../wire/fields.js';
import { MessageFormat } from '../wire/message-format.js';
import { WireWriter } from '../wire/wire-writer.js';

/** A detail of a `google.rpc.Status`. The messages are defined in google/rpc/error_details.proto (AIP-193). */
export type StatusDetail =
  | { readonly errorInfo: ErrorInfo }
  | { readonly badRequest: BadRequest }
  | { readonly retryInfo: { retryDelayMs: number } };

interface ErrorInfo {
  reason: string;
  domain: string;
  metadata?: Record<string, string>;
}

interface BadRequest {
  fieldViolations: readonly { field: string; description: string }[];
}

/** Encodes a `google.rpc.Status` for the trailer `grpc-status-details-bin`. */
export function statusDetails(code: number, message: string, details: readonly StatusDetail[]): Buffer {
  const out = new WireWriter();
  out.int32(1, code);
  out.string(2, message);
  for (const detail of details) out.message(3, () => writeAny(out, detail));
  return out.finish();
}

function writeAny(out: WireWriter, detail: StatusDetail): void {
  const pack = (type: string, content: () => void) => {
    out.string(1, `type.googleapis.com/google.rpc.${type}`);
    out.message(2, content);
  };
  if ('errorInfo' in detail) pack('ErrorInfo', () => writeErrorInfo(out, detail.errorInfo));
  else if ('badRequest' in detail) pack('BadRequest', () => writeViolations(out, detail.badRequest));
  else pack('RetryInfo', () => out.message(1, () => writeDuration(out, detail.retryInfo.retryDelayMs)));
}

function writeErrorInfo(out: WireWriter, { reason, domain, metadata = {} }: ErrorInfo): void {
  out.string(1, reason);
  out.string(2, domain);
  for (const [key, value] of Object.entries(metadata)) {
    out.message(3, () => {
      out.string(1, key);
      out.string(2, value);
    });
  }
}

function writeViolations(out: WireWriter, { fieldViolations }: BadRequest): void {
  for (const { field, description } of fieldViolations) {
    out.message(1, () => {
      out.string(1, field);
      out.string(2, description);
    });
  }
}

function writeDuration(out: WireWriter, ms: number): void {
  out.int64(1, Math.trunc(ms / 1_000));
  out.int32(2, Math.round((ms % 1_000) * 1e6));
}

/** The details of a failed call that a client uses. */
export interface FailureDetails {
  readonly errorInfo?: { readonly reason: string; readonly domain: string };
  /** The delay of the RetryInfo, in milliseconds. */
  readonly retryDelayMs?: number;
}

const any = new MessageFormat({ typeUrl: string(1), value: bytes(2) });
const status = new MessageFormat({ details: repeated(message(3, () => any)) });
const errorInfo = new MessageFormat({ reason: string(1), domain: string(2) });
const duration = new MessageFormat({ seconds: int64(1), nanos: int32(2) });
const retryInfo = new MessageFormat({ retryDelay: message(1, () => duration) });

/** Reads the bytes of `grpc-status-details-bin`. Returns no details if the bytes are not a `google.rpc.Status`. */
export function readStatusDetails(packed: Uint8Array): FailureDetails {
  try {
    const { details } = status.decode(packed);
    const unpack = <T extends object>(type: string, format: MessageFormat<T>): T | undefined => {
      const found = details.find(({ typeUrl }) => typeUrl.endsWith(`/google.rpc.${type}`));
      return found && format.decode(found.value);
    };
    const info = unpack('ErrorInfo', errorInfo);
    const delay = unpack('RetryInfo', retryInfo)?.retryDelay;
    return {
      ...(info && { errorInfo: info }),
      ...(delay && { retryDelayMs: delay.seconds * 1_000 + delay.nanos / 1e6 }),
    };
  } catch {
    return {};
  }
}
