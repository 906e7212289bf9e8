export { createOpenTelemetryTracing, type OpenTelemetryTracingOptions } from './call-tracing.js';
