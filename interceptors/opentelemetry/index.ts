export { createOpenTelemetryTracing, type OpenTelemetryTracingOptions } from './call-tracing.js';
export { createOpenTelemetryConsumerObserver, createOpenTelemetryOutboxObserver } from './event-metrics.js';
export { createOpenTelemetryObserver } from './guard-metrics.js';
export type { OpenTelemetryObserverOptions } from './instruments.js';
