import { type Metadata, Server, status } from '@grpc/grpc-js';
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import { version } from '../context/copies.js';
import { assertKnownOptions } from '../options/known-options.js';
import type {
  CallOutcome,
  CallTrace,
  CallTracing,
  ObservedMethod,
  TracedEnd,
} from '../replay-guard/index.js';
import { referenceTo, referredSpan } from './trace-reference.js';

/** The options of `createOpenTelemetryTracing`. */
export interface OpenTelemetryTracingOptions {
  /** Makes the spans. Default: the global provider at the time of each call. */
  readonly tracerProvider?: TracerProvider;
  /**
   * Which part makes the server spans of calls that reach their handler: the guard, or
   * `@opentelemetry/instrumentation-grpc`. Default: the instrumentation if it has wrapped the `Server` of grpc-js,
   * otherwise the guard.
   */
  readonly handlerSpans?: 'guard' | 'instrumentation';
}

/** The name of the instrumentation scope of all spans and metrics. */
export const SCOPE_NAME = 'grpc-replay-guard';

const getter: TextMapGetter<Metadata> = {
  get: (metadata, name) => metadata.get(name).map(String),
  keys: (metadata) => Object.keys(metadata.getMap()),
};

const setter: TextMapSetter<Metadata> = { set: (metadata, name, value) => metadata.set(name, value) };

/**
 * Creates the tracing of a guard with the API of OpenTelemetry. Each guarded call has one server span, also if the call
 * never reaches its handler. The span of a replay has a link to the span of the first execution. A span contains no key, no
 * scope and no data of a request or reply.
 *
 * If `@opentelemetry/instrumentation-grpc` makes the server spans of handlers, the span of the guard is INTERNAL, and
 * the server span is below it. If an interceptor before the guard has made a span, the guard's span is INTERNAL and
 * below that span.
 * @throws TypeError when an option is unknown or invalid
 */
export function createOpenTelemetryTracing(options: OpenTelemetryTracingOptions = {}): CallTracing {
  assertKnownOptions<OpenTelemetryTracingOptions>('createOpenTelemetryTracing', options, {
    tracerProvider: true,
    handlerSpans: true,
  });
  const { tracerProvider = trace, handlerSpans } = options;
  if (![undefined, 'guard', 'instrumentation'].includes(handlerSpans))
    throw new TypeError('handlerSpans must be guard or instrumentation');
  return {
    callStarted(method, metadata) {
      const tracer = tracerProvider.getTracer(SCOPE_NAME, version);
      const makeSpan: MakeSpan = (kind, parent, startTime) =>
        tracer.startSpan(
          fullNameOf(method),
          { kind, attributes: attributesOf(method), ...(startTime !== undefined && { startTime }) },
          parent,
        );
      // A span that has ended belongs to the code that started the server, not to this call.
      const outer = trace.getSpan(context.active());
      if (outer?.isRecording()) {
        const parent = context.active();
        return new CallSpan(parent, makeSpan(SpanKind.INTERNAL, parent));
      }
      const parent = propagation.extract(ROOT_CONTEXT, metadata, getter);
      const isInstrumented = (handlerSpans ?? detectedHandlerSpans()) === 'instrumentation';
      if (!isInstrumented) return new CallSpan(parent, makeSpan(SpanKind.SERVER, parent));
      return new CallSpan(parent, makeSpan(SpanKind.INTERNAL, parent), makeSpan);
    },
  };
}

/** Instrumentations mark the functions that they have wrapped. */
function detectedHandlerSpans(): 'guard' | 'instrumentation' {
  return '__wrapped' in Server.prototype.register ? 'instrumentation' : 'guard';
}

/** The names of the attributes are the stable semantic conventions of OpenTelemetry, version 1.45. */
function attributesOf(method: ObservedMethod): Attributes {
  return { 'rpc.system.name': 'grpc', 'rpc.method': fullNameOf(method) };
}

/** Returns the name of a method by the semantic conventions: `package.Service/Method`. */
export function fullNameOf({ service, method }: ObservedMethod): string {
  return `${service}/${method}`;
}

type MakeSpan = (kind: SpanKind, parent: Context, startTime?: number) => Span;

/**
 * The span of one call. If the instrumentation makes the server spans of handlers, a call that does not reach its handler
 * gets its server span at its end, with the start time of the call.
 */
class CallSpan implements CallTrace {
  readonly #context: Context;
  readonly #span: Span;
  /** Makes the server span of a call that does not reach its handler. Undefined if no instrumentation makes the others. */
  readonly #makeServerSpan: MakeSpan | undefined;
  readonly #startTime = Date.now();
  readonly #attributes: Attributes = {};
  #waitedSeconds = 0;
  #reachedHandler = false;

  constructor(parent: Context, span: Span, makeServerSpan?: MakeSpan) {
    this.#context = trace.setSpan(parent, span);
    this.#span = span;
    this.#makeServerSpan = makeServerSpan;
  }

  run<T>(work: () => T): T {
    return context.with(this.#context, work);
  }

  runHandler<T>(metadata: Metadata, handler: () => T): T {
    this.#reachedHandler = true;
    // The instrumentation takes the parent of its span from the metadata.
    if (this.#makeServerSpan) propagation.inject(this.#context, metadata, setter);
    return this.run(handler);
  }

  executionStarted(takenOver: boolean): void {
    if (takenOver) this.#attributes['replay_guard.taken_over'] = true;
  }

  waitEnded(seconds: number): void {
    this.#waitedSeconds += seconds;
  }

  observed(wouldBe: CallOutcome): void {
    this.#attributes['replay_guard.would_be'] = wouldBe;
  }

  reference(): Buffer | undefined {
    return referenceTo(this.#span.spanContext());
  }

  ended(end: TracedEnd): void {
    // A span without an end would never be exported.
    try {
      this.#describe(end);
    } finally {
      this.#span.end();
    }
  }

  #describe({ outcome, code, reason, execution }: TracedEnd): void {
    const span = this.#span;
    span.setAttributes({ ...this.#attributes, 'replay_guard.outcome': outcome });
    if (this.#waitedSeconds > 0) span.setAttribute('replay_guard.wait.duration', this.#waitedSeconds);
    if (reason !== undefined) span.setAttribute('replay_guard.refusal.reason', reason);
    if (code !== undefined) setStatus(span, code);
    const isReplay = outcome === 'replayed' || outcome === 'joined';
    const first = isReplay ? referredSpan(execution) : undefined;
    if (first) span.addLink({ context: first, attributes: { 'replay_guard.link': 'first_execution' } });
    if (this.#makeServerSpan && !this.#reachedHandler) {
      const server = this.#makeServerSpan(SpanKind.SERVER, this.#context, this.#startTime);
      if (code !== undefined) setStatus(server, code);
      server.end();
    }
  }
}

/** The codes that are errors of a server by the semantic conventions. Other codes are errors of the caller. */
const serverErrors: ReadonlySet<number> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

/** The status has no message, because the message of a status may contain data of the caller. */
function setStatus(span: Span, code: number): void {
  const name = status[code] ?? String(code);
  span.setAttribute('rpc.status_code', name);
  if (!serverErrors.has(code)) return;
  span.setAttribute('error.type', name);
  span.setStatus({ code: SpanStatusCode.ERROR });
}
