import { parseArgs } from 'node:util';
import { targets } from './targets/index.js';

/** The options of `npm run fuzz`. */
export interface FuzzOptions {
  /** How long the run lasts, in minutes. The targets share the time equally. */
  readonly minutes: number;
  readonly seed: number;
  /** The path of one input, which runs alone. */
  readonly path?: string;
  /** The names of the targets. */
  readonly targets: readonly string[];
  /** Whether targets with planted bugs run instead. */
  readonly planted: boolean;
  /** Whether inputs that break a rule are added to the corpus. */
  readonly keep: boolean;
  /** The file for the report. Default: no file. */
  readonly report?: string;
}

/** The text that `--help` prints. */
export const usage = `npm run fuzz -- [options]

Sends random and mutated inputs to the parts that hostile callers reach, and checks the rules of docs/proof.md after
each input. Ends with code 1 if an input breaks a rule, or if an event that a target requires has not happened.

Options:
  --minutes N       how long to run (default: 10). The targets share the time
  --seed S          repeats the inputs of an earlier run (default: random; the report names it)
  --path P          repeats one input. Needs the --seed and the --target that its failure named
  --target A,B      only these targets: ${Object.keys(targets).join(', ')}
  --planted         run targets with planted bugs, each until it has found its bug
  --keep            add each input that breaks a rule to test/fuzz/corpus, which npm test runs
  --report FILE     also write the report to FILE, as Markdown
`;

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when an option is unknown or has an invalid value
 */
export function readOptions(args: readonly string[]): FuzzOptions | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      path: { type: 'string' },
      target: { type: 'string' },
      planted: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      report: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const names = values.target?.split(',') ?? Object.keys(targets);
  const unknown = names.find((name) => !Object.hasOwn(targets, name));
  if (unknown !== undefined) throw new TypeError(`--target: there is no target '${unknown}'`);
  const minutes = Number(values.minutes);
  if (!(Number.isFinite(minutes) && minutes > 0))
    throw new TypeError(`--minutes must be a positive number, not '${values.minutes}'`);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  if (!Number.isInteger(seed) || Math.abs(seed) > 2 ** 31)
    throw new TypeError(`--seed must be a whole number of at most 32 bits, not '${values.seed}'`);
  if (values.path !== undefined && (values.seed === undefined || names.length !== 1))
    throw new TypeError('--path needs --seed and one --target');
  return {
    ...{ minutes, seed, targets: names, planted: values.planted, keep: values.keep },
    ...(values.path !== undefined && { path: values.path }),
    ...(values.report !== undefined && { report: values.report }),
  };
}
