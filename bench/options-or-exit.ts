/**
 * Returns the options of a command. Ends the process after `--help` and after a wrong option.
 * @param read reads the options. Returns undefined for `--help`, and throws for a wrong option.
 * @param usage the text that `--help` prints
 */
export function optionsOrExit<Options>(
  read: (args: string[]) => Options | undefined,
  usage: string,
): Options {
  try {
    const given = read(process.argv.slice(2));
    if (given) return given;
    console.log(usage);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    process.exit(1);
  }
}
