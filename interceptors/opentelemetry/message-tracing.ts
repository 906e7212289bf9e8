import {
  context,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  type TextMapGetter,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import type { MessageHeaders, MessageTracing } from '../consumer/index.js';
import { version } from '../context/copies.js';
import { assertKnownOptions } from '../options/known-options.js';
import { SCOPE_NAME } from './call-tracing.js';
import { setFailure } from './event-tracing.js';

/** The options of `createOpenTelemetryMessageTracing`. */
export interface OpenTelemetryMessageTracingOptions {
  /** Makes the spans. Default: the global provider at the time of each delivery. */
  readonly tracerProvider?: TracerProvider;
}

const getter: TextMapGetter<MessageHeaders> = {
  get: (headers, name) => textOf(headers[name]),
  keys: (headers) => Object.keys(headers),
};

/** Brokers give the values of headers as texts or bytes. A header that was sent several times has a list. */
function textOf(value: unknown): string | string[] | undefined {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  return Array.isArray(value) ? value.flatMap((one) => textOf(one) ?? []) : undefined;
}

/**
 * Creates the tracing of a consumer with the API of OpenTelemetry. Each delivery has a span: of kind CONSUMER in the trace of
 * the headers of the message, or of kind INTERNAL below the active span, for example of an instrumented broker client. If
 * the active span belongs to another trace, the span has a link to the span of the headers. A span contains neither the id
 * nor the scope of a message, and no text of an error.
 * @throws TypeError when an option is unknown
 */
export function createOpenTelemetryMessageTracing(
  options: OpenTelemetryMessageTracingOptions = {},
): MessageTracing {
  assertKnownOptions<OpenTelemetryMessageTracingOptions>('createOpenTelemetryMessageTracing', options, {
    tracerProvider: true,
  });
  const { tracerProvider = trace } = options;
  return {
    delivered(consumer, headers, process) {
      const sent = propagation.extract(ROOT_CONTEXT, headers, getter);
      const active = trace.getSpan(context.active());
      // A span that has ended belongs to the code that started the consumer, not to this delivery.
      const isInner = active?.isRecording() === true;
      const parent = isInner ? context.active() : sent;
      const sender = trace.getSpanContext(sent);
      const isOther = isInner && sender && sender.traceId !== active.spanContext().traceId;
      const span = tracerProvider.getTracer(SCOPE_NAME, version).startSpan(
        `process ${consumer}`,
        {
          kind: isInner ? SpanKind.INTERNAL : SpanKind.CONSUMER,
          attributes: {
            'messaging.system.name': SCOPE_NAME,
            'messaging.operation.type': 'process',
            'messaging.operation.name': 'process',
            'messaging.consumer.group.name': consumer,
          },
          ...(isOther && { links: [{ context: sender }] }),
        },
        parent,
      );
      // The end of a span may throw. The caller reports the error of the returned promise.
      return context.with(trace.setSpan(parent, span), process).then(({ outcome, error }) => {
        span.setAttribute('replay_guard.outcome', outcome);
        if (error !== undefined) setFailure(span, error);
        span.end();
      });
    },
  };
}
