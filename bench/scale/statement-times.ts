import { statSync } from 'node:fs';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import Sqlite, { type Statement } from 'better-sqlite3';
import { type Latency, latencyOf } from './measure-purge.js';

/** How long the statements of one kind took. */
export interface StatementTime extends Latency {
  readonly kind: string;
  readonly statements: number;
  readonly totalMs: number;
}

type Run = (this: Statement, ...args: unknown[]) => unknown;

/**
 * Measures how long the SQLite statements of this process take while `work` runs. A COMMIT that changes the file has also
 * copied the log into the file (a checkpoint).
 * @param path the database file
 */
export async function statementTimes<T>(
  path: string,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly times: readonly StatementTime[] }> {
  const histograms = new Map<string, RecordableHistogram>();
  const changedAt = () => statSync(path, { bigint: true }).mtimeNs;
  let lastChange = changedAt();
  const note = (source: string, ms: number) => {
    let kind = kindOf(source);
    if (kind === 'COMMIT') {
      const change = changedAt();
      if (change !== lastChange) kind = 'COMMIT with a checkpoint';
      lastChange = change;
    }
    const histogram = histograms.get(kind) ?? createHistogram();
    histograms.set(kind, histogram);
    histogram.record(Math.max(1, Math.round(ms * 1_000)));
  };
  const restore = watch(note);
  try {
    const result = await work();
    const times = [...histograms].map(([kind, histogram]) => ({
      ...{ kind, statements: histogram.count, totalMs: (histogram.mean * histogram.count) / 1_000 },
      ...latencyOf(histogram),
    }));
    return { result, times };
  } finally {
    restore();
  }
}

function kindOf(source: string): string {
  const [word = ''] = source.trim().toUpperCase().split(/\s/, 1);
  return word === 'COMMIT' || word === 'DELETE' ? word : 'others';
}

/** Calls `note` after each statement. Returns a function that ends this. */
function watch(note: (source: string, ms: number) => void): () => void {
  const probe = new Sqlite(':memory:');
  const prototype = Object.getPrototypeOf(probe.prepare('SELECT 1')) as Record<string, Run>;
  probe.close();
  const originals = ['run', 'get', 'all'].map((method) => [method, prototype[method] as Run] as const);
  for (const [method, original] of originals) {
    prototype[method] = function (...args) {
      const start = performance.now();
      const result = original.apply(this, args);
      note(this.source, performance.now() - start);
      return result;
    };
  }
  return () => {
    for (const [method, original] of originals) prototype[method] = original;
  };
}
