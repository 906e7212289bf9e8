import type { ExecutionContext } from 'ava';

/** A number of calls for each outcome. */
export type Counted = Readonly<Record<string, number>>;

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

const line = /^replay_guard_(\w+?)(?:\{(.*)\})? (\S+)$/gm;

/** The samples of the guard in one scrape of `/metrics`. Names omit the prefix `replay_guard_`. */
export class Scrape {
  readonly text: string;
  readonly #samples: readonly Sample[];

  constructor(text: string) {
    this.text = text;
    this.#samples = [...text.matchAll(line)].map(([, name = '', labels = '', value]) => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/(\w+)="(.*?)"/g)].map(([, key, label]) => [key, label]),
      ),
      value: Number(value),
    }));
  }

  /** Returns the sum of all samples that have these labels. */
  sum(metric: string, labels: Labels = {}): number {
    const matching = this.#samples.filter(
      ({ name, labels: has }) =>
        name === metric && Object.entries(labels).every(([key, value]) => has[key] === value),
    );
    return matching.reduce((sum, { value }) => sum + value, 0);
  }

  /** Returns the increase of a metric since an earlier scrape, by a label, over all methods. */
  since(earlier: Scrape, metric = 'calls_total', label = 'outcome'): Counted {
    const samples = this.#samples.filter(({ name }) => name === metric);
    const values = [...new Set(samples.map(({ labels }) => labels[label] ?? ''))];
    const counts = values.map((value) => {
      const more = this.sum(metric, { [label]: value }) - earlier.sum(metric, { [label]: value });
      return [value, more] as const;
    });
    return Object.fromEntries(counts.filter(([, more]) => more !== 0));
  }

  /** Asserts the label names of every sample, that no secret occurs, and that no call is in flight or waits. */
  assertSound(t: ExecutionContext, secrets: readonly string[]): void {
    for (const { name, labels } of this.#samples) {
      const own = Object.keys(labels).filter((label) => label !== 'le');
      const metric = name.replace(/_(bucket|sum|count)$/, '');
      if (own.sort().join() !== labelsOf[metric]) t.fail(`${name} has labels ${own.join()}`);
    }
    for (const secret of secrets) t.false(this.text.includes(secret));
    t.is(this.sum('in_flight'), 0, 'no call is in flight');
    t.is(this.sum('waiting'), 0, 'no call waits');
  }
}

const labelsOf: Readonly<Record<string, string>> = {
  calls_total: 'method,outcome,service',
  suppressed_side_effects_total: 'method,service',
  takeovers_total: 'method,service',
  refusals_total: 'method,reason,service',
  handler_duration_seconds: 'method,service',
  handler_failures_total: 'method,service',
  store_duration_seconds: 'operation',
  store_errors_total: 'operation',
  reply_bytes: 'method,service',
  in_flight: 'method,service',
  oldest_execution_age_seconds: 'method,service',
  waiting: 'method,service',
  waiting_limit: '',
  wait_duration_seconds: 'method,service',
  after_commit_failures_total: 'method,service',
  build_info: 'version',
  records: '',
  purged_total: '',
  quota_refusals_total: 'method,quota,service',
  unguarded_executions_total: 'method,service',
  observed_total: 'method,outcome,service',
  circuit_open: '',
};
