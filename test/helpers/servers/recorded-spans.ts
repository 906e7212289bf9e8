import { randomBytes } from 'node:crypto';
import { status as codes } from '@grpc/grpc-js';
import { SpanKind } from '@opentelemetry/api';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

/** The finished spans of this process, in the order of their ends. */
export class RecordedSpans {
  readonly #exporter = new InMemorySpanExporter();

  /** Registers the SDK of OpenTelemetry with its context manager and the propagation of W3C. Once per process. */
  constructor() {
    new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(this.#exporter)] }).register();
  }

  /** Returns all spans. */
  all(): ReadableSpan[] {
    return this.#exporter.getFinishedSpans();
  }

  /** Returns the spans of a trace. */
  of({ traceId }: { readonly traceId: string }): ReadableSpan[] {
    return this.#exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
  }

  /** Returns all spans with this name. */
  named(name: string): ReadableSpan[] {
    return this.#exporter.getFinishedSpans().filter((span) => span.name === name);
  }

  /** Returns all that the exporter has, as a text. */
  text(): string {
    return JSON.stringify(
      this.#exporter.getFinishedSpans().map(({ name, attributes, events, links, status }) => {
        return { name, attributes, events, links, status };
      }),
    );
  }
}

/** The span of a client of another process, and the metadata that its call carries. */
export function remoteParent() {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  return { traceId, spanId, metadata: { traceparent: `00-${traceId}-${spanId}-01` } };
}

/** Describes the place of a span: its kind and its parent, and what the guard says about the call. */
export function outline({ kind, parentSpanContext, attributes, status }: ReadableSpan) {
  return {
    kind: SpanKind[kind],
    parent: parentSpanContext?.spanId,
    outcome: attributes['replay_guard.outcome'],
    code: codes[attributes['rpc.status_code'] as keyof typeof codes],
    reason: attributes['replay_guard.refusal.reason'],
    isError: status.code === 2,
  };
}
