import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parsePlain, printPlain } from './plain-data.js';

/** An input that once broke a rule, or one that the random inputs reach rarely. */
export interface CorpusEntry {
  /** The name of the file, without its ending. */
  readonly name: string;
  readonly input: unknown;
}

const folder = fileURLToPath(new URL('../../../../test/fuzz/corpus/', import.meta.url));

/** Reads the corpus of a target: the files `test/fuzz/corpus/TARGET/NAME.json`. */
export function readCorpus(target: string): CorpusEntry[] {
  if (!existsSync(folder + target)) return [];
  return readdirSync(folder + target)
    .sort()
    .map((file) => ({
      name: file.replace(/\.json$/, ''),
      input: parsePlain(readFileSync(`${folder}${target}/${file}`, 'utf8')),
    }));
}

/** Adds an input to the corpus of a target. Returns the path of the file. */
export function addToCorpus(target: string, name: string, input: unknown): string {
  mkdirSync(folder + target, { recursive: true });
  const path = `${folder}${target}/${name}.json`;
  writeFileSync(path, `${printPlain(input)}\n`);
  return path;
}
