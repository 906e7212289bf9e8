import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Returns the code blocks of a document in one language, in order.
 * @param document its path from the root of the repository
 */
export function snippets(document: string, language: string): string[] {
  const text = readFileSync(new URL(`../../../${document}`, import.meta.url), 'utf8');
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)]
    .filter(([, tag]) => tag === language)
    .map(([, , code]) => String(code));
}

/** The working folder and the environment of a program. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a program and resolves to its standard output. @throws Error with the output when the program fails */
export async function output(program: string, args: readonly string[], options: RunOptions = {}) {
  const { stdout } = await run(program, args, options).catch((error) => {
    throw new Error(`${program} ${args.join(' ')}: ${error.stdout ?? ''}${error.stderr ?? error.message}`);
  });
  return stdout;
}

/** Runs a program and resolves to whether its exit code is 0. */
export async function succeeds(program: string, args: readonly string[], options: RunOptions = {}) {
  return output(program, args, options).then(
    () => true,
    () => false,
  );
}
