import { metrics, trace } from '@opentelemetry/api';
import {
  type CallTracing,
  createReplayGuard,
  type ReplayGuardObserver,
  singleTenant,
} from 'grpc-replay-guard';
import { type ConsumerObserver, createConsumer, type MessageTracing } from 'grpc-replay-guard/consumer';
import type { Database } from 'grpc-replay-guard/database';
import {
  createOpenTelemetryConsumerObserver,
  createOpenTelemetryEventTracing,
  createOpenTelemetryMessageTracing,
  createOpenTelemetryObserver,
  createOpenTelemetryOutboxObserver,
  createOpenTelemetryTracing,
} from 'grpc-replay-guard/opentelemetry';
import {
  createOutbox,
  createRelay,
  type EventTracing,
  type Outbox,
  type OutboxObserver,
} from 'grpc-replay-guard/outbox';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { expectType } from '../expect-type.js';

declare const store: IdempotencyStore;
declare const database: Database;
declare const outbox: Outbox;

// Tracing.
const calls = createOpenTelemetryTracing();
expectType<CallTracing>()(calls);
createReplayGuard({ store, scope: singleTenant(), tracing: calls });
createOpenTelemetryTracing({ tracerProvider: trace.getTracerProvider(), handlerSpans: 'instrumentation' });
// @ts-expect-error an unknown value
createOpenTelemetryTracing({ handlerSpans: 'both' });
// @ts-expect-error a provider, not a tracer
createOpenTelemetryTracing({ tracerProvider: trace.getTracer('shop') });

const events = createOpenTelemetryEventTracing({ tracerProvider: trace.getTracerProvider() });
expectType<EventTracing>()(events);
createOutbox({ database, routes: {}, tracing: events });
createRelay({ outbox, destinations: {}, tracing: events });
// @ts-expect-error the tracing of events follows no calls
createReplayGuard({ store, scope: singleTenant(), tracing: events });

const messages = createOpenTelemetryMessageTracing({ tracerProvider: trace.getTracerProvider() });
expectType<MessageTracing>()(messages);
const consumer = await createConsumer({ database, tracing: messages });
const name = { consumer: 'stock', messageId: '1', scope: 'warehouse' };
consumer.processOnce(name, async () => 1, { headers: { traceparent: Buffer.from('00') } });
// @ts-expect-error an unknown detail of a delivery
consumer.processOnce(name, async () => 1, { header: {} });
// @ts-expect-error the tracing of calls follows no messages
createConsumer({ database, tracing: calls });

// Metrics.
const meterProvider = metrics.getMeterProvider();
expectType<Partial<ReplayGuardObserver>>()(createOpenTelemetryObserver({ meterProvider }));
expectType<Partial<OutboxObserver>>()(createOpenTelemetryOutboxObserver({ meterProvider }));
expectType<ConsumerObserver>()(createOpenTelemetryConsumerObserver({ meterProvider }));
// @ts-expect-error a provider, not a meter
createOpenTelemetryObserver({ meterProvider: metrics.getMeter('shop') });
