import { execFile, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { BETTER_SQLITE3, NODE_IN_PACKAGE, NODE_PACKAGE } from '../../bench/servers/node-binary.js';
import { npm } from '../examples/installed.js';
import { linkPackages } from '../helpers/packages/link-packages.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);

/** The first Node whose better-sqlite3 needs no compiler: version 13 contains the binaries of all platforms. */
const FIRST_WITH_BINARIES = 22;

/** How long npm waits for the registry, and how often it tries again. By default npm waits for 5 minutes each time. */
const patience = ['--fetch-timeout=60000', '--fetch-retries=1'];

/** A temporary project with the packed library, a Node of its own, and the compiled tests. */
export interface NodeProject {
  /** The versions of Node and of better-sqlite3, for a report. */
  readonly versions: string;
  /** Runs test files. Resolves to the exit code of ava. @param files patterns from the root of the repository */
  test(files: readonly string[]): Promise<number>;
  /** Deletes the project. */
  remove(): Promise<void>;
}

/**
 * Returns why the tests cannot run in a Node of a major version. The better-sqlite3 of an older Node is the compiled one of
 * this repository, which fits the Node that has compiled it.
 */
export function whyNot(major: number): string | undefined {
  const own = Number.parseInt(process.versions.node, 10);
  if (major >= FIRST_WITH_BINARIES || major === own) return undefined;
  return `better-sqlite3 is compiled for Node ${own}`;
}

/** Resolves to whether npm serves a Node of a major version for this machine. */
export async function isServed(major: number): Promise<boolean> {
  const found = await npm(root, 'view', ...patience, `${NODE_PACKAGE}@${major}`, 'version').catch(
    () => undefined,
  );
  return found !== undefined && found.stdout.trim() !== '';
}

/**
 * Installs the tarball and the newest Node of a major version into a temporary project, and copies the compiled tests.
 * There, the name of the library is the installed package. All other packages are those of this repository.
 */
export async function openProject(tarball: string, major: number): Promise<NodeProject> {
  const folder = await mkdtemp(join(tmpdir(), `replay-guard-node-${major}-`));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await installIn(folder, tarball, major);
    await copyTests(folder);
    const node = join(folder, 'node_modules', NODE_PACKAGE, NODE_IN_PACKAGE);
    const script = "console.log(process.version, require('better-sqlite3/package.json').version)";
    const { stdout } = await run(node, ['-e', script], { cwd: folder });
    const [nodeVersion, sqliteVersion] = stdout.trim().split(' ');
    return {
      versions: `Node ${nodeVersion}, better-sqlite3 ${sqliteVersion}`,
      test: (files) =>
        exitCode(node, ['node_modules/ava/entrypoints/cli.mjs', '--concurrency=2', ...files], folder),
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function installIn(folder: string, tarball: string, major: number): Promise<void> {
  const { type, imports, ava } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const files = [...ava.files, 'dist/test/nodes/packed/*.js'];
  const manifest = { private: true, type, imports, ava: { ...ava, files } };
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest));
  const sqlite = major >= FIRST_WITH_BINARIES ? [BETTER_SQLITE3] : [];
  // The peers of the library are not installed a second time: they are linked.
  const flags = ['--ignore-scripts', '--legacy-peer-deps', '--no-audit', '--no-fund', '--loglevel=error'];
  await npm(folder, 'install', ...flags, ...patience, tarball, `${NODE_PACKAGE}@${major}`, ...sqlite);
  await linkPackages(join(folder, 'node_modules'));
}

/** The files are copied, because a program behind a link would find the packages of this repository. */
async function copyTests(folder: string): Promise<void> {
  const filter = (path: string) => !/^(pack|installed)-/.test(basename(path));
  for (const part of ['dist', 'proto', 'test/protos', 'test/protos-next', 'test/protos-static'])
    await cp(join(root, part), join(folder, part), { recursive: true, filter });
  await symlink('node_modules/grpc-replay-guard', join(folder, 'interceptors'));
}

function exitCode(program: string, args: readonly string[], cwd: string): Promise<number> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
  });
}
