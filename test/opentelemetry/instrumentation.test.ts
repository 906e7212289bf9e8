import { createRequire } from 'node:module';
import { SpanKind } from '@opentelemetry/api';
import { GrpcInstrumentation } from '@opentelemetry/instrumentation-grpc';
import test from 'ava';
import { createOpenTelemetryTracing } from 'grpc-replay-guard/opentelemetry';
import { openLedger } from '../helpers/servers/guarded-ledger.js';
import { RecordedSpans } from '../helpers/servers/recorded-spans.js';

const spans = new RecordedSpans();
const instrumentation = new GrpcInstrumentation();
// The instrumentation wraps grpc-js when `require` loads it. ES modules have the same `Server`.
createRequire(import.meta.url)('@grpc/grpc-js');
const handlerSpan = 'grpc.test.v1.LedgerService/Append';
const guardSpan = 'test.v1.LedgerService/Append';

test.serial('beside the instrumentation of grpc-js, each call has one server span', async (t) => {
  const ledger = await openLedger(t, 'memory', { guard: { tracing: createOpenTelemetryTracing() } });
  t.is((await ledger.append('key')).code, 0);
  t.true((await ledger.append('key')).replayed);
  const servers = () =>
    [...spans.named(handlerSpan), ...spans.named(guardSpan)].filter(({ kind }) => kind === SpanKind.SERVER);
  t.is(servers().length, 2);
  const [execution, replay] = spans.named(guardSpan);
  if (!execution || !replay) return t.fail();
  t.is(execution.kind, SpanKind.INTERNAL);
  const handler = servers().find(({ name }) => name === handlerSpan);
  t.is(handler?.parentSpanContext?.spanId, execution.spanContext().spanId);
  t.is(replay.kind, SpanKind.SERVER);
  t.is(replay.attributes['replay_guard.outcome'], 'replayed');
  t.like(replay.links[0]?.context, { spanId: execution.spanContext().spanId });
  // The client of this process is instrumented, too. The guard continues its traces.
  const clients = spans.named(handlerSpan).filter(({ kind }) => kind === SpanKind.CLIENT);
  t.deepEqual(
    [execution, replay].map((span) => span.parentSpanContext?.spanId),
    clients.map((span) => span.spanContext().spanId),
  );
  t.true(execution.startTime[0] > 0 && execution.duration[0] < 60);
  instrumentation.disable();
});
