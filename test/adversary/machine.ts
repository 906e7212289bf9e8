import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The tools and rights of the machine that faults need. */
export interface Machine {
  readonly isRoot: boolean;
  /** The folder of the binaries of Debian's Postgres 15. */
  readonly debianPostgres: string | undefined;
  /** The path of libfaketime. */
  readonly faketime: string | undefined;
  readonly hasStrace: boolean;
}

/** Returns what this machine has. */
export function inspectMachine(): Machine {
  const debian = '/usr/lib/postgresql/15/bin';
  const library = [
    '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
    '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
  ].find(existsSync);
  return {
    isRoot: process.getuid?.() === 0,
    debianPostgres: existsSync(join(debian, 'postgres')) ? debian : undefined,
    faketime: library,
    hasStrace: (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, 'strace'))),
  };
}
