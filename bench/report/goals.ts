import type { Engine, Kind, Work } from '../servers/subject.js';
import { type Figure, ratioOf, type Series, type Spread } from './statistics.js';

/** A goal of the performance budget, as a ratio of the guarded shop to another server. */
export interface Goal {
  readonly name: string;
  readonly bound: number;
  /** Whether the ratio must not be higher than the bound. Otherwise it must not be lower. */
  readonly isUpperBound: boolean;
  /** Returns the ratio that was measured, if both servers were measured. */
  reached(all: readonly Series[]): Spread | undefined;
}

const CONCURRENCY = 32;

const newKey: Work = 'ReceiveStock, new key';
const replay: Work = 'ReceiveStock, hot replay';

function goal(name: string, engine: Engine, work: Work, base: Kind, figure: Figure, bound: number): Goal {
  const find = (all: readonly Series[], kind: Kind) =>
    all.find(
      (series) =>
        series.subject.engine === engine &&
        series.subject.kind === kind &&
        series.work === work &&
        series.concurrency === CONCURRENCY,
    );
  return {
    name,
    bound,
    isUpperBound: figure !== 'callsPerSecond',
    reached: (all) => {
      const [own, other] = [find(all, 'guarded'), find(all, base)];
      return own && other && ratioOf(own, other, figure);
    },
  };
}

/** The goals that a run of the benchmark can check. */
export const goals: readonly Goal[] = [
  goal('CPU to yardstick: SQLite replay', 'sqlite', replay, 'yardstick', 'cpuMicros', 1.25),
  goal('CPU to yardstick: SQLite new key', 'sqlite', newKey, 'yardstick', 'cpuMicros', 1.25),
  goal('CPU to yardstick: Postgres replay', 'postgres', replay, 'yardstick', 'cpuMicros', 1.4),
  goal('CPU to yardstick: Postgres new key', 'postgres', newKey, 'yardstick', 'cpuMicros', 1.2),
  goal('calls/s to by hand, no key: SQLite new key', 'sqlite', newKey, 'noKey', 'callsPerSecond', 1.2),
  goal('calls/s to yardstick: Postgres new key', 'postgres', newKey, 'yardstick', 'callsPerSecond', 0.95),
  goal('calls/s to by hand, no key: Postgres new key', 'postgres', newKey, 'noKey', 'callsPerSecond', 0.6),
  goal(
    'calls/s to @node-idempotency: SQLite new key',
    'sqlite',
    newKey,
    'nodeIdempotency',
    'callsPerSecond',
    1,
  ),
  goal(
    'calls/s to @node-idempotency: SQLite replay',
    'sqlite',
    replay,
    'nodeIdempotency',
    'callsPerSecond',
    1,
  ),
  goal(
    'calls/s to @node-idempotency: Postgres new key',
    'postgres',
    newKey,
    'nodeIdempotency',
    'callsPerSecond',
    1,
  ),
  goal(
    'calls/s to @node-idempotency: Postgres replay',
    'postgres',
    replay,
    'nodeIdempotency',
    'callsPerSecond',
    1,
  ),
];
