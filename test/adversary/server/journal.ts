import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { LoadMethod } from '../judge/history.js';

/** A line of the journal of a server process. Times are in milliseconds of the machine's steady clock. */
export type JournalLine =
  | {
      readonly type: 'start';
      readonly id: string;
      readonly attempt: string;
      readonly scope: string;
      readonly method: LoadMethod;
      readonly account: string;
      readonly at: number;
    }
  | { readonly type: 'end'; readonly id: string; readonly at: number }
  | { readonly type: 'takeover' | 'commit in doubt' | 'circuit opened' | 'failure'; readonly what?: string };

/** Returns the time of the machine's steady clock, in milliseconds. It is the same clock for all processes. */
export const steadyMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/**
 * The journal of one server process. Each line is in the file before the server continues, so that a kill loses no
 * line.
 */
export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  /** Appends a line. */
  write(line: JournalLine): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads the lines of a journal. A killed server may have written a part of its last line, which is left out. */
export function readJournal(path: string): JournalLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as JournalLine);
}
