import { parseArgs } from 'node:util';
import { type Engine, engineOf, engines } from '../servers/subject.js';

/** What `npm run scale` measures. */
export interface ScaleOptions {
  /** The numbers of records, smallest first. The smallest one is the base of the ratios. */
  readonly sizes: readonly number[];
  readonly engines: readonly Engine[];
  /** How many claims and how many replays are measured. */
  readonly calls: number;
  /** The maximum duration of the purge while calls are served, in milliseconds. */
  readonly purgeMs: number;
}

/** The text that `--help` prints. */
export const usage = `npm run scale -- [options]

  --quick            10 thousand and 200 thousand records, under two minutes
  --records N,N      the numbers of records (default: 10000,10000000)
  --engine NAME      only sqlite or only postgres (default: both)
  --purge-seconds N  the maximum duration of each purge (default: 30; 5 if quick)
`;

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when an option is unknown or has an invalid value
 */
export function readOptions(args: readonly string[]): ScaleOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      quick: { type: 'boolean', default: false },
      records: { type: 'string' },
      engine: { type: 'string' },
      'purge-seconds': { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const records = values.records ?? (values.quick ? '10000,200000' : '10000,10000000');
  return {
    sizes: records
      .split(',')
      .map(sizeOf)
      .sort((a, b) => a - b),
    engines: values.engine === undefined ? engines : [engineOf(values.engine)],
    calls: values.quick ? 1_000 : 5_000,
    purgeMs: secondsOf(values['purge-seconds'] ?? (values.quick ? '5' : '30')) * 1_000,
  };
}

function sizeOf(text: string): number {
  const size = Number(text);
  if (Number.isSafeInteger(size) && size >= 1_000) return size;
  throw new TypeError(`--records must be whole numbers from 1000, not '${text}'`);
}

function secondsOf(text: string): number {
  const seconds = Number(text);
  if (Number.isSafeInteger(seconds) && seconds > 0) return seconds;
  throw new TypeError(`--purge-seconds must be a positive whole number, not '${text}'`);
}
