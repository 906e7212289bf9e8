import type { Registry } from 'prom-client';
import { SharedMetrics, sharedBy, startAtZero } from '../options/shared-metrics.js';
import type { DatabaseLoad, LoadSource } from './load.js';

/** The buckets of waits, in seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The values of one gauge for the load of one database. */
type Values = (load: DatabaseLoad) => readonly [labels: Record<string, string>, value: number][];

/**
 * Keeps the metrics of an open database in a prom-client registry. The names of the metrics begin with
 * `replay_guard_database_`. The open databases of one registry that have the same engine are counted together.
 * @param opened what `openSqlite` or `openPostgres` has returned
 * @throws TypeError when `register` is not a registry, or `opened` is not an open database
 * @throws Error when the registry has a metric of the application with one of these names
 */
export function createDatabaseMetrics(register: Registry, opened: LoadSource): void {
  if (typeof opened?.load !== 'function')
    throw new TypeError('createDatabaseMetrics: opened must be what openSqlite or openPostgres resolves to');
  const load = opened.load();
  if (!load) throw new TypeError('createDatabaseMetrics: the database is closed');
  const { engine } = load;
  const metrics = new SharedMetrics(register);
  const gauge = (name: string, help: string, labelNames: readonly string[], values: Values) => {
    const shared = metrics.gauge(`replay_guard_database_${name}`, help, labelNames, {
      collect: (own) => {
        own.reset();
        const sources = sharedBy<LoadSource>(own);
        for (const source of sources) {
          const load = source.load();
          if (!load) sources.delete(source);
          else for (const [labels, value] of values(load)) own.inc(labels, value);
        }
      },
    });
    sharedBy<LoadSource>(shared).add(opened);
  };
  const waitSeconds = metrics.histogram(
    'replay_guard_database_wait_duration_seconds',
    'How long units of work and statements waited for the writer or for a connection',
    ['engine'],
    BUCKETS,
  );
  startAtZero(waitSeconds, { engine });
  opened.onWait((seconds) => waitSeconds.observe({ engine }, seconds));
  gauge('waiting', 'Units of work and statements that wait', ['engine'], ({ waiting }) => [
    [{ engine }, waiting],
  ]);
  gauge('connections', 'Connections of the pool', ['engine', 'state'], ({ connections }) =>
    connections
      ? [
          [{ engine, state: 'in_use' }, connections.inUse],
          [{ engine, state: 'idle' }, connections.idle],
        ]
      : [],
  );
  gauge('connections_max', 'How many connections the pool may open', ['engine'], ({ connections }) =>
    connections ? [[{ engine }, connections.max]] : [],
  );
}
