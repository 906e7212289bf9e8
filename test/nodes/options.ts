import { parseArgs } from 'node:util';

/** The major versions of Node that the library supports and that are released. */
export const MAJORS = [20, 22, 24, 26] as const;

/** The major version whose run is complete if no option says otherwise. */
export const FULL_BY_DEFAULT = 24;

/** The options of `npm run test:nodes`. */
export interface NodesOptions {
  readonly majors: readonly number[];
  /** Whether every version runs the complete suites. Default: Node 24 only. */
  readonly full: boolean;
}

/** The text that `--help` prints. */
export const usage = `npm run test:nodes -- [options] [MAJOR...]

Runs tests of the packed library in each Node from npm: ${MAJORS.join(', ')}, or the given major versions.
Node ${FULL_BY_DEFAULT} runs the contract suites of every engine. The other versions run a part of them.

Options:
  --full    run the contract suites of every engine in every version
`;

/**
 * Reads the options of the command line. Returns undefined if help is wanted.
 * @throws TypeError when an option or a version is unknown
 */
export function readOptions(args: readonly string[]): NodesOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { help: { type: 'boolean' }, full: { type: 'boolean', default: false } },
  });
  if (values.help) return undefined;
  const majors = positionals.map(Number);
  const unknown = positionals.find((text) => !(MAJORS as readonly number[]).includes(Number(text)));
  if (unknown !== undefined)
    throw new TypeError(`${unknown} is not one of the versions ${MAJORS.join(', ')}`);
  return { majors: majors.length > 0 ? majors : MAJORS, full: values.full };
}
