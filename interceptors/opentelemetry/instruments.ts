import { type Attributes, type MeterProvider, metrics, type ObservableCallback } from '@opentelemetry/api';
import { version } from '../context/copies.js';
import { SCOPE_NAME } from './call-tracing.js';

/** The options of the observers that keep metrics. */
export interface OpenTelemetryObserverOptions {
  /** Makes the instruments. Default: the global provider, which must be registered before the observer is created. */
  readonly meterProvider?: MeterProvider;
}

/** The buckets of the durations of handlers, waits and deliveries, in seconds. */
export const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Makes instruments whose names begin with a prefix. Observers that use one provider share their instruments. */
export function instruments({ meterProvider = metrics }: OpenTelemetryObserverOptions, prefix: string) {
  const meter = meterProvider.getMeter(SCOPE_NAME, version);
  return {
    counter: (suffix: string, unit: string, description: string) => {
      const counter = meter.createCounter(`${prefix}${suffix}`, { unit, description });
      return {
        add: (attributes: Attributes, count = 1) => counter.add(count, attributes),
        /** Shows 0 for these attributes, so that a rate includes the first event. */
        start: (attributes: Attributes) => counter.add(0, attributes),
      };
    },
    upDown: (suffix: string, unit: string, description: string) =>
      meter.createUpDownCounter(`${prefix}${suffix}`, { unit, description }),
    gauge: (suffix: string, unit: string, description: string) =>
      meter.createGauge(`${prefix}${suffix}`, { unit, description }),
    observable: (suffix: string, unit: string, description: string, observe: ObservableCallback) =>
      meter.createObservableGauge(`${prefix}${suffix}`, { unit, description }).addCallback(observe),
    histogram: (suffix: string, unit: string, description: string, explicitBucketBoundaries: number[]) =>
      meter.createHistogram(`${prefix}${suffix}`, {
        unit,
        description,
        advice: { explicitBucketBoundaries },
      }),
  };
}
