import { isSpanContextValid, type SpanContext, TraceFlags } from '@opentelemetry/api';

const TRACE_ID_BYTES = 16;
const REFERENCE_BYTES = 25;

/**
 * Returns a reference to a span: the 16 bytes of its trace, the 8 bytes of its id, and a byte with its flags. Undefined
 * for a span that is not sampled, because no tracing system has such a span.
 */
export function referenceTo({ traceId, spanId, traceFlags }: SpanContext): Buffer | undefined {
  if (!isSpanContextValid({ traceId, spanId, traceFlags }) || !(traceFlags & TraceFlags.SAMPLED))
    return undefined;
  return Buffer.from(`${traceId}${spanId}01`, 'hex');
}

/** Reads a reference. Undefined if the reference has another form, for example from a later version. */
export function referredSpan(reference: Buffer | undefined): SpanContext | undefined {
  if (reference?.length !== REFERENCE_BYTES) return undefined;
  const traceId = reference.toString('hex', 0, TRACE_ID_BYTES);
  const spanId = reference.toString('hex', TRACE_ID_BYTES, REFERENCE_BYTES - 1);
  const span = { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(span) ? span : undefined;
}
