import { execFile } from 'node:child_process';
import { cp, readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';

const root = new URL('../../../', import.meta.url);
const run = promisify(execFile);

/** The parts of `package.json` that the tests read. */
export interface Manifest {
  readonly scripts: { readonly start: string; readonly build?: string };
  readonly dependencies: Readonly<Record<string, string>>;
}

/** Packs the library as for a release. Resolves to the path of the tarball. */
export async function packLibrary(t: Cleanup): Promise<string> {
  const folder = await freshFolder(t);
  const library = fileURLToPath(new URL('interceptors/', root));
  await npm(library, 'pack', '--pack-destination', folder);
  const [tarball = ''] = await readdir(folder);
  return join(folder, tarball);
}

/** Copies an example, installs the tarball and the dependencies, and builds it. The copy is deleted after the test. */
export async function installExample(t: Cleanup, name: string, tarball: string): Promise<string> {
  const folder = join(await freshFolder(t), name);
  const source = fileURLToPath(new URL(`examples/${name}/`, root));
  await cp(source, folder, { recursive: true, filter: (path) => !generated.has(basename(path)) });
  const { dependencies, scripts } = await manifestOf(folder);
  const flags = ['--no-save', '--prefer-offline', '--no-audit', '--no-fund'];
  if (dependencies['better-sqlite3']) {
    await copyBuiltSqlite(folder);
    flags.push('--ignore-scripts');
  }
  await npm(folder, 'install', ...flags, tarball);
  if (scripts.build) await npm(folder, 'run', 'build');
  return folder;
}

/** Reads the `package.json` of a folder. */
export async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
}

/** Generated files that a developer may have in the example's folder. They are not copied. */
const generated = new Set(['node_modules', 'dist', 'gen', 'data', 'package-lock.json']);

/** Copies the compiled better-sqlite3, because compiling takes minutes. npm keeps a copy that satisfies the range. */
async function copyBuiltSqlite(folder: string): Promise<void> {
  const built = dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json'));
  const parts = ['package.json', 'lib', 'build/Release/better_sqlite3.node'];
  for (const part of parts) {
    const target = join(folder, 'node_modules/better-sqlite3', part);
    await cp(join(built, part), target, { recursive: true });
  }
}

function npm(folder: string, ...args: string[]) {
  // The programs of the workspace must not replace a missing dependency of the example.
  const entries = process.env.PATH?.split(delimiter) ?? [];
  const PATH = entries.filter((entry) => !entry.endsWith(join('node_modules', '.bin'))).join(delimiter);
  return run('npm', args, { cwd: folder, env: { ...process.env, PATH }, maxBuffer: 2 ** 26 });
}
