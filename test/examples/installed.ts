import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freshFolder } from '../helpers/databases/engines.js';
import type { Cleanup } from '../helpers/databases/postgres.js';

const root = new URL('../../../', import.meta.url);
const sources = fileURLToPath(new URL('examples/', root));
const run = promisify(execFile);

type Packages = Readonly<Record<string, string>>;

/** The parts of `package.json` that the tests read. */
export interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Packages;
  readonly devDependencies?: Packages;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/** Reads the `package.json` of a folder. */
export async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
}

/** Returns the names of the examples. */
export async function exampleNames(): Promise<string[]> {
  const entries = await readdir(sources, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/**
 * The packages of all examples, installed once with the tarball of the library. An example sees the packages that its
 * `package.json` names, and no other optional package of the library. Only one example may be used at a time.
 */
export class InstalledExamples {
  readonly #folder: string;
  /** The optional packages of the library, such as the engines. */
  readonly #optional: readonly string[];

  private constructor(folder: string, optional: readonly string[]) {
    this.#folder = folder;
    this.#optional = optional;
  }

  /** Packs the library as for a release and installs it with the packages of all examples. */
  static async install(t: Cleanup): Promise<InstalledExamples> {
    const folder = await freshFolder(t);
    await writeFile(join(folder, 'package.json'), JSON.stringify(await packagesOfAll()));
    await copyBuiltSqlite(folder);
    const flags = ['--no-save', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
    await npm(folder, 'install', ...flags, await packLibrary(t));
    const { peerDependenciesMeta = {} } = await manifestOf(join(folder, 'node_modules/grpc-replay-guard'));
    return new InstalledExamples(folder, Object.keys(peerDependenciesMeta));
  }

  /** Copies an example in place of an earlier copy, and builds it. Resolves to the folder of the copy. */
  async copy(name: string): Promise<string> {
    const folder = join(this.#folder, name);
    const filter = (path: string) => !generated.has(basename(path));
    await rm(folder, { recursive: true, force: true });
    await cp(join(sources, name), folder, { recursive: true, filter });
    const { dependencies, devDependencies, scripts } = await manifestOf(folder);
    const packages = Object.keys({ ...dependencies, ...devDependencies });
    await this.#hideOptionalExcept(packages);
    for (const one of ['.bin', ...packages]) {
      const link = join(folder, 'node_modules', one);
      await mkdir(dirname(link), { recursive: true });
      await symlink(join(this.#folder, 'node_modules', one), link);
    }
    if (scripts.build) await npm(folder, 'run', 'build');
    return folder;
  }

  /** Returns the optional packages of the library that the current example can load. */
  async visible(): Promise<string[]> {
    const found = await Promise.all(
      this.#optional.map(async (name) => ((await exists(this.#path('node_modules', name))) ? [name] : [])),
    );
    return found.flat().sort();
  }

  /** Moves the optional packages away, and the packages of the example back. */
  async #hideOptionalExcept(packages: readonly string[]): Promise<void> {
    for (const name of this.#optional) {
      const [from, to] = packages.includes(name) ? ['hidden', 'node_modules'] : ['node_modules', 'hidden'];
      const target = this.#path(String(to), name);
      await mkdir(dirname(target), { recursive: true });
      if (await exists(this.#path(String(from), name))) await rename(this.#path(String(from), name), target);
    }
  }

  #path(...parts: string[]): string {
    return join(this.#folder, ...parts);
  }
}

/** Runs npm in a folder. The programs of this repository must not replace a missing package of an example. */
export function npm(folder: string, ...args: string[]) {
  const entries = process.env.PATH?.split(delimiter) ?? [];
  const PATH = entries.filter((entry) => !entry.endsWith(join('node_modules', '.bin'))).join(delimiter);
  return run('npm', args, { cwd: folder, env: { ...process.env, PATH }, maxBuffer: 2 ** 26 });
}

/** Generated files that a developer may have in the folder of an example or of the library. They are not copied. */
const generated = new Set(['node_modules', 'dist', 'gen', 'data', 'package-lock.json']);

/** Returns a manifest with the packages of all examples. Two examples must not name different ranges of a package. */
async function packagesOfAll() {
  const packages: Record<string, string> = {};
  for (const name of await exampleNames()) {
    const { dependencies, devDependencies } = await manifestOf(join(sources, name));
    for (const [one, range] of Object.entries({ ...dependencies, ...devDependencies })) {
      if ((packages[one] ?? range) !== range)
        throw new Error(`${name}: ${one} ${range}, not ${packages[one]}`);
      packages[one] = range;
    }
  }
  return { private: true, dependencies: packages };
}

/**
 * Packs the library as for a release, from a copy of its sources: the build adds files to the folder of the library, and several
 * tests may pack at the same time. Resolves to the path of the tarball.
 */
export async function packLibrary(t: Cleanup): Promise<string> {
  const folder = await freshFolder(t);
  // The copy is inside the checkout, so the build finds the packages that are installed there.
  const copy = await mkdtemp(fileURLToPath(new URL('dist/pack-', root)));
  try {
    for (const part of ['interceptors', 'proto', 'docs', 'CHANGELOG.md', 'SECURITY.md', 'tsconfig.json']) {
      const filter = (path: string) => !generated.has(basename(path));
      await cp(fileURLToPath(new URL(part, root)), join(copy, part), { recursive: true, filter });
    }
    await npm(join(copy, 'interceptors'), 'pack', '--pack-destination', folder);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
  const [tarball = ''] = await readdir(folder);
  return join(folder, tarball);
}

/**
 * Copies the compiled better-sqlite3, because compiling takes minutes. npm keeps a copy that satisfies the range. Version 13 is
 * not compiled.
 */
async function copyBuiltSqlite(folder: string): Promise<void> {
  const built = dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json'));
  if (!(await exists(join(built, 'build')))) return;
  const parts = ['package.json', 'lib', 'build/Release/better_sqlite3.node'];
  for (const part of parts) {
    const target = join(folder, 'node_modules/better-sqlite3', part);
    await cp(join(built, part), target, { recursive: true });
  }
}

function exists(path: string): Promise<boolean> {
  return readdir(path).then(
    () => true,
    () => false,
  );
}
