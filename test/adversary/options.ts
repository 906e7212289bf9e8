import { parseArgs } from 'node:util';
import { type Engine, engines } from './engines.js';
import { faults } from './faults/index.js';

/** The options of `npm run adversary`. */
export interface AdversaryOptions {
  /** How long the run lasts, in minutes. The round that runs then is finished. */
  readonly minutes: number;
  readonly seed: number;
  /** The names of the faults. */
  readonly faults: readonly string[];
  readonly engines: readonly Engine[];
  /** Whether servers with planted bugs run instead. */
  readonly planted: boolean;
  /** The file for the report. Default: no file. */
  readonly report?: string;
}

/** The text that `--help` prints. */
export const usage = `npm run adversary -- [options]

Runs servers under load and faults, and judges the invariants of docs/proof.md after each round. Ends with code 1 after a
violation, or if an event that a fault requires has not happened.

Options:
  --minutes N       how long to run (default: 10). Each fault runs at least one round
  --seed S          repeats the choices of an earlier run (default: random; the report names it)
  --faults A,B      only these faults: ${Object.keys(faults).join(', ')}
  --engine NAME     only sqlite or only postgres (default: both)
  --planted         run servers with planted bugs, each until the judge has found it
  --report FILE     also write the report to FILE, as Markdown
`;

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when an option is unknown or has an invalid value
 */
export function readOptions(args: readonly string[]): AdversaryOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      faults: { type: 'string' },
      engine: { type: 'string' },
      planted: { type: 'boolean', default: false },
      report: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const names = values.faults?.split(',') ?? Object.keys(faults);
  const unknown = names.find((name) => !Object.hasOwn(faults, name));
  if (unknown !== undefined) throw new TypeError(`--faults: there is no fault '${unknown}'`);
  const engine = values.engine;
  if (engine !== undefined && !engines.some((name) => name === engine))
    throw new TypeError(`--engine must be one of ${engines.join(', ')}, not '${engine}'`);
  return {
    minutes: positive('minutes', values.minutes),
    seed: values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : positive('seed', values.seed),
    faults: names,
    engines: engine === undefined ? engines : [engine as Engine],
    planted: values.planted,
    ...(values.report !== undefined && { report: values.report }),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new TypeError(`--${name} must be a positive number, not '${text}'`);
}
