import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { assertPart } from './part.js';

/** The properties that must be equal if several observers share a metric. */
interface Shape {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labelNames: readonly string[];
}

/** The options of a gauge. */
interface GaugeOptions<Label extends string> {
  /** Sets the values of the gauge, before each scrape. */
  readonly collect?: (gauge: Gauge<Label>) => void;
  /** How the values of several processes become one value in `AggregatorRegistry`. Default: `sum`. */
  readonly aggregator?: 'sum' | 'max' | 'first';
}

/**
 * Returns metrics of a prom-client registry by name. Creates a metric at its first use, and returns the existing metric
 * at later uses, so that several observers share one registry. Each method throws an Error when the registry has a
 * metric with the name, but with another type or other labels.
 */
export class SharedMetrics {
  readonly #register: Registry;

  /** @throws TypeError when `register` is not a registry */
  constructor(register: Registry) {
    assertPart('register', register, {
      methods: ['getSingleMetric', 'registerMetric'],
      expected: 'a Registry of prom-client',
    });
    this.#register = register;
  }

  counter<Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) {
    const create = () => new Counter({ name, help, labelNames, registers: [this.#register] });
    return this.#existing<Counter<Label>>(name, { type: 'counter', labelNames }) ?? create();
  }

  gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
    { collect, aggregator = 'sum' }: GaugeOptions<Label> = {},
  ) {
    const create = () => {
      const gauge: Gauge<Label> = new Gauge({
        ...{ name, help, labelNames, aggregator, registers: [this.#register] },
        ...(collect && { collect: () => collect(gauge) }),
      });
      return gauge;
    };
    return this.#existing<Gauge<Label>>(name, { type: 'gauge', labelNames }) ?? create();
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: readonly number[],
  ) {
    const registers = [this.#register];
    const create = () => new Histogram({ name, help, labelNames, buckets: [...buckets], registers });
    return this.#existing<Histogram<Label>>(name, { type: 'histogram', labelNames }) ?? create();
  }

  /**
   * The metric may belong to another copy of prom-client, so its class is not compared.
   * @throws Error when the existing metric has another shape
   */
  #existing<M extends object>(name: string, expected: Shape): M | undefined {
    const metric = this.#register.getSingleMetric(name);
    if (metric === undefined) return undefined;
    const found = describe(metric as Partial<Shape>);
    if (found === describe(expected)) return metric as object as M;
    throw new Error(`the registry already has a metric ${name}: ${found}, not ${describe(expected)}`);
  }
}

const SHARED = Symbol.for('grpc-replay-guard/shared-metric');

/**
 * Returns the set that all observers of a metric share, also those of another copy of the library. The first observer
 * makes the set.
 */
export function sharedBy<T>(metric: object): Set<T> {
  const holder = metric as { [SHARED]?: Set<T> };
  holder[SHARED] ??= new Set();
  return holder[SHARED];
}

/** Makes a metric show 0 for these labels, unless it has a value for them already. */
export function startAtZero<Label extends string>(
  metric: Counter<Label> | Gauge<Label> | Histogram<Label>,
  labels: Record<Label, string>,
): void {
  if (!('zero' in metric)) {
    metric.inc(labels, 0);
    return;
  }
  // `zero` would discard what another observer has counted.
  const started = sharedBy<string>(metric);
  const values = JSON.stringify(Object.entries(labels).sort());
  if (!started.has(values)) metric.zero(labels);
  started.add(values);
}

function describe({ type, labelNames = [] }: Partial<Shape>): string {
  const labels = [...labelNames].sort().join(', ');
  return `${type ?? 'unknown'} ${labels ? `with the labels ${labels}` : 'without labels'}`;
}
