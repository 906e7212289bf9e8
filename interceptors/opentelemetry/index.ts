export { createOpenTelemetryTracing, type OpenTelemetryTracingOptions } from './call-tracing.js';
export {
  createOpenTelemetryConsumerObserver,
  createOpenTelemetryOutboxObserver,
  type OpenTelemetryConsumerObserverOptions,
} from './event-metrics.js';
export { createOpenTelemetryEventTracing, type OpenTelemetryEventTracingOptions } from './event-tracing.js';
export { createOpenTelemetryObserver } from './guard-metrics.js';
export type { OpenTelemetryObserverOptions } from './instruments.js';
export {
  createOpenTelemetryMessageTracing,
  type OpenTelemetryMessageTracingOptions,
} from './message-tracing.js';
