import { parseArgs } from 'node:util';
import { type Engine, engineOf, engines, type Kind, kinds, type Work, works } from './servers/subject.js';

/** The parts of the benchmark, in the order in which they run. */
export const parts = ['counts', 'rounds', 'processes', 'soak', 'growth'] as const;
export type Part = (typeof parts)[number];

/** What `npm run bench` measures, and where its report goes. */
export interface BenchOptions {
  readonly parts: readonly Part[];
  readonly engines: readonly Engine[];
  /** The servers that the rounds compare. */
  readonly kinds: readonly Kind[];
  /** The kinds of calls. A cold replay repeats the keys of the work with new keys before it. */
  readonly works: readonly Work[];
  /** The number of measured rounds. */
  readonly rounds: number;
  /** How long each server does each work in a round, in milliseconds. */
  readonly durationMs: number;
  /** Calls of each work before the first round. Default: enough until the CPU time of a call is flat. */
  readonly warmUp?: Partial<Record<Work, number>>;
  /** How many calls are running at the same time. */
  readonly concurrencies: readonly number[];
  /** The calls of each kind that the counts take. */
  readonly countedCalls: number;
  /** The numbers of server processes on one Postgres. */
  readonly processes: readonly number[];
  /** The calls of each soak. */
  readonly soakCalls: number;
  /** The folder for `bench.json` and `bench.svg`. Default: no files. */
  readonly folder?: string;
  /** A second Node: a major version, the path of a binary, or `none`. */
  readonly node: string;
  /** Whether `node` was given, so that its installation may take longer. */
  readonly isNodeGiven: boolean;
  /** The folder of a better-sqlite3 that was built for the second Node. Default: the project's own. */
  readonly betterSqlite3?: string;
}

/** The text that `--help` prints. */
export const usage = `npm run bench -- [PART...] [options]

Parts (default: all; counts and rounds if quick):
  counts                promises, timers, statements, messages and fsyncs of a call
  rounds                calls/s, CPU per call and latencies against other servers
  processes             several server processes on one Postgres
  soak                  memory over many calls; ends with code 1 if it grows
  growth                bytes per record, and latency at 10 thousand and 100 thousand records

Options:
  --quick               fewer servers and works, one concurrency, short rounds, about a minute
  --engine NAME         only sqlite or only postgres (default: both)
  --out DIR             also write bench.json and bench.svg into DIR
  --node VERSION|PATH   also run guard and yardstick in this Node (default: 24, installed with npm into a
                        temporary folder; none if quick, or with --node none)
  --better-sqlite3 DIR  the better-sqlite3 for the binary at PATH, if the project's own does not fit it
  --rounds N            measured rounds (default: 3; 2 if quick)
  --duration MS         time of one server with one work in one round (default: 250; 120 if quick)
  --concurrency N,N     calls that are running at the same time (default: 1,32,256; 32 if quick)
  --processes N,N       numbers of server processes (default: 1,2,4)
  --calls N             calls of each soak (default: 10000)
`;

const quick: Pick<BenchOptions, 'parts' | 'kinds' | 'works' | 'warmUp' | 'countedCalls'> = {
  parts: ['counts', 'rounds'],
  kinds: ['yardstick', 'noKey', 'unguarded', 'guarded'],
  works: ['ReceiveStock, new key', 'ReceiveStock, hot replay', 'PlaceOrder, new key'],
  warmUp: { 'ReceiveStock, new key': 2_500, 'ReceiveStock, hot replay': 2_000, 'PlaceOrder, new key': 250 },
  countedCalls: 11,
};

const whole: typeof quick = { parts, kinds: Object.keys(kinds) as Kind[], works, countedCalls: 40 };

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when a part or an option is unknown, or an option has an invalid value
 */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean' },
      quick: { type: 'boolean', default: false },
      engine: { type: 'string' },
      out: { type: 'string' },
      node: { type: 'string' },
      'better-sqlite3': { type: 'string' },
      rounds: { type: 'string' },
      duration: { type: 'string' },
      concurrency: { type: 'string' },
      processes: { type: 'string', default: '1,2,4' },
      calls: { type: 'string', default: '10000' },
    },
  });
  if (values.help) return undefined;
  const { quick: isQuick, out: folder, node, 'better-sqlite3': betterSqlite3 } = values;
  const base = isQuick ? quick : whole;
  return {
    ...base,
    parts:
      positionals.length === 0 ? base.parts : parts.filter((part) => positionals.map(partOf).includes(part)),
    engines: values.engine === undefined ? engines : [engineOf(values.engine)],
    rounds: positive('rounds', values.rounds ?? (isQuick ? '2' : '3')),
    durationMs: positive('duration', values.duration ?? (isQuick ? '120' : '250')),
    concurrencies: list('concurrency', values.concurrency ?? (isQuick ? '32' : '1,32,256')),
    processes: list('processes', values.processes),
    soakCalls: positive('calls', values.calls),
    node: node ?? (isQuick ? 'none' : '24'),
    isNodeGiven: node !== undefined,
    ...(folder !== undefined && { folder }),
    ...(betterSqlite3 !== undefined && { betterSqlite3 }),
  };
}

function partOf(name: string): Part {
  const part = parts.find((known) => known === name);
  if (part) return part;
  throw new TypeError(`a part must be one of ${parts.join(', ')}, not '${name}'`);
}

function list(name: string, text: string): number[] {
  return text.split(',').map((each) => positive(name, each));
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new TypeError(`--${name} must be a positive whole number, not '${text}'`);
}
