import {
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import { version } from '../context/copies.js';
import { assertKnownOptions } from '../options/known-options.js';
import type { EventTracing } from '../outbox/index.js';
import { SCOPE_NAME } from './call-tracing.js';

/** The options of `createOpenTelemetryEventTracing`. */
export interface OpenTelemetryEventTracingOptions {
  /** Makes the spans. Default: the global provider at the time of each attempt. */
  readonly tracerProvider?: TracerProvider;
}

/**
 * Creates the tracing of an outbox and its relays with the API of OpenTelemetry. The trace context of an append is stored
 * with the event, without baggage. Each attempt at a delivery has a span of kind CONSUMER in the trace of the append. A
 * span contains no aggregate, no payload and no text of an error.
 * @throws TypeError when an option is unknown
 */
export function createOpenTelemetryEventTracing(
  options: OpenTelemetryEventTracingOptions = {},
): EventTracing {
  assertKnownOptions<OpenTelemetryEventTracingOptions>('createOpenTelemetryEventTracing', options, {
    tracerProvider: true,
  });
  const { tracerProvider = trace } = options;
  return {
    appended: () => {
      const headers = headersOf(context.active());
      return Object.keys(headers).length > 0 ? headers : undefined;
    },
    attempted({ destination, type, attempt }, headers, deliver) {
      const parent = propagation.extract(ROOT_CONTEXT, headers);
      const attributes = {
        'messaging.system.name': SCOPE_NAME,
        'messaging.operation.type': 'process',
        'messaging.operation.name': 'deliver',
        'messaging.destination.name': destination,
        'replay_guard.outbox.type': type,
        'replay_guard.outbox.attempt': attempt,
      };
      const tracer = tracerProvider.getTracer(SCOPE_NAME, version);
      const span = tracer.startSpan(
        `deliver ${destination}`,
        { kind: SpanKind.CONSUMER, attributes },
        parent,
      );
      const inSpan = trace.setSpan(parent, span);
      const delivery = context.with(inSpan, () => deliver(headersOf(inSpan)));
      // The end of a span may throw. The caller reports the error of the returned promise.
      return delivery.catch((error) => setFailure(span, error)).finally(() => span.end());
    },
  };
}

/** Baggage may contain data of callers, so it is neither stored nor sent. */
function headersOf(of: typeof ROOT_CONTEXT): Record<string, string> {
  const headers: Record<string, string> = {};
  propagation.inject(propagation.deleteBaggage(of), headers);
  return headers;
}

/** Describes a failure by the class of its error, because the text of an error may contain data of callers. */
export function setFailure(span: Span, error: unknown): void {
  span.setAttribute('error.type', error instanceof Error ? error.name : '_OTHER');
  span.setStatus({ code: SpanStatusCode.ERROR });
}
