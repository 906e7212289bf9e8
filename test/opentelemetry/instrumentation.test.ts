import { createRequire } from 'node:module';
import { SpanKind, trace } from '@opentelemetry/api';
import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import test from 'ava';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import { createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { RecordedSpans } from '../helpers/servers/recorded-spans.js';
import { PassingStore } from '../helpers/stores/passing-store.js';

const spans = new RecordedSpans();
const instrumentation = new GrpcInstrumentation();
// The instrumentation wraps grpc-js when `require` loads it. ES modules have the same `Server`.
createRequire(import.meta.url)('@grpc/grpc-js');
const handlerSpan = 'grpc.test.v1.LedgerService/Append';
const guardSpan = 'test.v1.LedgerService/Append';

/** Records the span in which each claim runs. */
class ObservedStore extends PassingStore {
  readonly spans: (string | undefined)[] = [];

  override claim(...args: Parameters<PassingStore['claim']>): ReturnType<PassingStore['claim']> {
    this.spans.push(trace.getActiveSpan()?.spanContext().spanId);
    return super.claim(...args);
  }
}

test.serial(
  'beside the instrumentation of grpc-js, each call has one server span, inside the span of the guard',
  async (t) => {
    const store = new ObservedStore(createMemoryStore());
    const ledger = await openLedger(t, 'memory', { guard: { store, tracing: createOpenTelemetryTracing() } });
    t.is((await ledger.append('key')).code, 0);
    t.true((await ledger.append('key')).replayed);
    const all = [...spans.named(handlerSpan), ...spans.named(guardSpan)];
    const guards = all.filter(({ attributes }) => 'replay_guard.outcome' in attributes);
    t.deepEqual(
      guards.map(({ kind, attributes }) => [SpanKind[kind], attributes['replay_guard.outcome']]),
      [
        ['INTERNAL', 'executed'],
        ['INTERNAL', 'replayed'],
      ],
    );
    const ids = guards.map((span) => span.spanContext().spanId);
    t.is(guards[1]?.links[0]?.context.spanId, ids[0]);
    t.deepEqual(store.spans, ids, 'the statements of the guard run inside its span');
    const servers = all.filter(({ kind }) => kind === SpanKind.SERVER);
    t.deepEqual(
      servers.map(({ name, parentSpanContext, attributes }) => [
        name,
        parentSpanContext?.spanId,
        // The instrumentation uses the conventions before the stable ones.
        attributes['rpc.grpc.status_code'] ?? attributes['rpc.status_code'],
      ]),
      [
        [handlerSpan, ids[0], 0],
        [guardSpan, ids[1], 'OK'],
      ],
    );
    // The client of this process is instrumented, too. The guard continues its traces.
    const clients = all.filter(({ kind }) => kind === SpanKind.CLIENT);
    t.deepEqual(
      guards.map((span) => span.parentSpanContext?.spanId),
      clients.map((span) => span.spanContext().spanId),
    );
    t.true(servers.every(({ startTime, duration }) => startTime[0] > 0 && duration[0] < 60));
    instrumentation.disable();
  },
);
