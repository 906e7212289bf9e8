import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Findings } from './findings.js';
import type { ReadDatabase } from './opened.js';

/** With less free space on the disk, commits may soon fail, in bytes. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;
const MAX_FAULTS = 5;

/** The file systems on which the locks and the shared memory of SQLite do not work, by their numbers on Linux. */
const networks: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB'],
]);

/** Checks the file, its folder and its disk, and the structure of the database. */
export async function checkFile(path: string, { query }: ReadDatabase, findings: Findings): Promise<void> {
  checkModes(path, findings);
  const { type, bavail, bsize } = statfsSync(path);
  const network = networks.get(type);
  if (network) findings.problems.push(`the file is on ${network}, where the locks of SQLite do not work`);
  const free = bavail * bsize;
  findings.facts.push(`free on the disk: ${inMegabytes(free)}`);
  if (free < MIN_FREE_BYTES)
    findings.problems.push(`the disk has ${inMegabytes(free)} left: commits will fail`);
  else if (free < statSync(path).size) {
    findings.notes.push('the disk has less space than the file needs for a VACUUM');
  }
  const [row] = await query<{ mode: string; version: string }>(
    'SELECT journal_mode AS mode, sqlite_version() AS version FROM pragma_journal_mode',
  );
  findings.facts.push(`SQLite: ${row?.version}`, `journal mode: ${row?.mode}`);
  if (row?.mode !== 'wal') findings.notes.push('the journal mode becomes wal when a server opens the file');
  const faults = await query<{ quick_check: string }>(`PRAGMA quick_check(${MAX_FAULTS})`);
  for (const { quick_check: fault } of faults) {
    if (fault !== 'ok') findings.problems.push(`the file is damaged: ${fault}`);
  }
}

/** Checks the right to write, and who else may read. The files beside the database hold its newest content. */
function checkModes(path: string, findings: Findings): void {
  const { mode, uid } = statSync(path);
  findings.facts.push(`file: ${path}, mode ${octal(mode)}, owner ${uid}`);
  if (!mayWrite(path)) findings.problems.push('this user may not write to the file');
  if (!mayWrite(dirname(path))) {
    findings.problems.push(
      'this user may not write to the folder of the file, in which SQLite keeps its log',
    );
  }
  const open = [path, `${path}-wal`, `${path}-shm`].filter((file) => {
    const found = statSync(file, { throwIfNoEntry: false });
    return found && (found.mode & 0o077) !== 0;
  });
  if (process.platform === 'win32' || open.length === 0) return;
  findings.notes.push(`other users may open ${open.join(', ')}`);
  findings.advice.push(`chmod 600 ${open.map(quoted).join(' ')}`);
}

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

function inMegabytes(bytes: number): string {
  return `${Math.floor(bytes / 1_048_576)} MB`;
}

/** Returns a path as one word of a shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
