import { parseArgs } from 'node:util';
import { type Work, works } from './servers/subject.js';

const quickWorks: readonly Work[] = [
  'ReceiveStock, new key',
  'ReceiveStock, hot replay',
  'PlaceOrder, new key',
];

/** What `npm run bench` measures, and where its report goes. */
export interface BenchOptions {
  readonly isQuick: boolean;
  /** Rounds that are measured, after one round to warm up. */
  readonly rounds: number;
  /** How long each server does each work in a round, in milliseconds. */
  readonly durationMs: number;
  /** The kinds of calls. A cold replay repeats the keys of the work with new keys before it. */
  readonly works: readonly Work[];
  /** How many calls are running at the same time. */
  readonly concurrencies: readonly number[];
  /** The folder for `bench.json` and `bench.svg`. Default: no files. */
  readonly folder?: string;
  /** A second Node binary. Default: none. */
  readonly node?: string;
  /** The folder of a better-sqlite3 that was built for the second Node. Default: the project's own. */
  readonly betterSqlite3?: string;
}

/** The text that `--help` prints. */
export const usage = `npm run bench -- [options]

  --quick               fewer works, one concurrency, short rounds, under a minute
  --out DIR             also write bench.json and bench.svg into DIR
  --node PATH           run the servers with this Node binary too
  --better-sqlite3 DIR  the better-sqlite3 for that binary, if the project's own does not fit it
  --rounds N            rounds that are measured (default: 3)
  --duration MS         time of one server with one work in one round (default: 300; 120 if quick)
  --concurrency N,N     calls that are running at the same time (default: 1,32,256; 32 if quick)
`;

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when an option is unknown or its value is not a positive whole number
 */
export function readOptions(args: readonly string[]): BenchOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
      node: { type: 'string' },
      'better-sqlite3': { type: 'string' },
      rounds: { type: 'string' },
      duration: { type: 'string' },
      concurrency: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const { quick: isQuick, out: folder, node, 'better-sqlite3': betterSqlite3 } = values;
  return {
    isQuick,
    works: isQuick ? quickWorks : works,
    rounds: positive('rounds', values.rounds ?? '3'),
    durationMs: positive('duration', values.duration ?? (isQuick ? '120' : '300')),
    concurrencies: (values.concurrency ?? (isQuick ? '32' : '1,32,256'))
      .split(',')
      .map((text) => positive('concurrency', text)),
    ...(folder !== undefined && { folder }),
    ...(node !== undefined && { node }),
    ...(betterSqlite3 !== undefined && { betterSqlite3 }),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new TypeError(`--${name} must be a positive whole number, not '${text}'`);
}
