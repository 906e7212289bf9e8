import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Cleanup } from '../databases/postgres.js';

const run = promisify(execFile);

/** A series in the answer to a query: its labels, and its samples as [Unix time in seconds, value]. */
export interface QueriedSeries {
  readonly labels: Readonly<Record<string, string>>;
  readonly samples: readonly (readonly [at: number, value: number])[];
}

/** The options of `startPrometheus`. */
export interface PrometheusOptions {
  /** The value of the label `job`. */
  readonly job: string;
  /** The `host:port` of each server to scrape. */
  readonly targets: readonly string[];
  readonly intervalMs: number;
  /** The file with the alert rules. */
  readonly rules: string;
  /** Samples that Prometheus has from the start, in the OpenMetrics format. Default: none. */
  readonly history?: string;
}

/** A running Prometheus. */
export interface Prometheus {
  /** Resolves to the present value of each series that an expression returns. @throws Error when it is refused */
  query(expression: string): Promise<QueriedSeries[]>;
  /** Resolves to the values in a time range, in Unix seconds. @throws Error when the expression is refused */
  range(expression: string, from: number, to: number, step: number): Promise<QueriedSeries[]>;
  /** Resolves to the names of the rules by the result of their last evaluation: `ok`, `err` or `unknown`. */
  rules(): Promise<Map<string, string>>;
}

/** Whether this machine has Prometheus and promtool. */
export async function hasPrometheus(): Promise<boolean> {
  const versions = ['prometheus', 'promtool'].map((program) => run(program, ['--version']));
  const failed = (await Promise.allSettled(versions)).find(({ status }) => status === 'rejected');
  return failed === undefined;
}

/** Starts a Prometheus on a free port, which ends after the test. @throws Error when it does not start */
export async function startPrometheus(t: Cleanup, options: PrometheusOptions): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-prometheus-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const data = join(folder, 'data');
  if (options.history !== undefined) {
    await writeFile(join(folder, 'history'), options.history);
    await run('promtool', ['tsdb', 'create-blocks-from', 'openmetrics', join(folder, 'history'), data]);
  }
  await writeFile(join(folder, 'settings.json'), JSON.stringify(settingsOf(options)));
  const url = await launch(t, [
    `--config.file=${join(folder, 'settings.json')}`,
    `--storage.tsdb.path=${data}`,
    '--web.listen-address=127.0.0.1:0',
  ]);
  const get = async (path: string, parameters: Record<string, string> = {}) => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as { data: unknown; error?: string };
    if (answer.error !== undefined) throw new Error(`${parameters.query}: ${answer.error}`);
    return answer.data;
  };
  return {
    query: async (query) => seriesIn(await get('query', { query })),
    range: async (query, from, to, step) =>
      seriesIn(await get('query_range', { query, start: `${from}`, end: `${to}`, step: `${step}` })),
    rules: async () => {
      const { groups } = (await get('rules')) as { groups: { rules: { name: string; health: string }[] }[] };
      return new Map(groups.flatMap(({ rules }) => rules.map(({ name, health }) => [name, health] as const)));
    },
  };
}

/** The settings file is YAML, of which JSON is a part. */
function settingsOf({ job, targets, intervalMs, rules }: PrometheusOptions) {
  const interval = `${intervalMs}ms`;
  return {
    global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
    rule_files: [resolve(rules)],
    scrape_configs: [{ job_name: job, static_configs: [{ targets }] }],
  };
}

/** Resolves to the URL when Prometheus is ready. */
async function launch(t: Cleanup, words: readonly string[]): Promise<string> {
  const child = spawn('prometheus', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  t.teardown(async () => {
    kill();
    await exited;
    process.removeListener('exit', kill);
  });
  const log: string[] = [];
  let url = '';
  for await (const line of createInterface({ input: child.stderr })) {
    log.push(line);
    const [, address] = /msg="Listening on" address=(\S+)/.exec(line) ?? [];
    if (address) url = `http://${address}`;
    if (line.includes('Server is ready to receive web requests') && url) {
      // Otherwise Prometheus would wait for a reader of its log.
      child.stderr.resume();
      return url;
    }
  }
  throw new Error(`Prometheus did not start: ${log.join('\n')}`);
}

function seriesIn(data: unknown): QueriedSeries[] {
  const { result } = data as {
    result: { metric: Record<string, string>; value?: Sample; values?: Sample[] }[];
  };
  return result.map(({ metric, value, values }) => ({
    labels: metric,
    samples: (values ?? (value ? [value] : [])).map(([at, text]) => [at, Number(text)] as const),
  }));
}

/** A sample as the API sends it. The value is a text, such as `NaN`. */
type Sample = readonly [at: number, value: string];
