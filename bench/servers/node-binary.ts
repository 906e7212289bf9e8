import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProcessOptions } from './server-process.js';

/** A Node binary that servers run in. */
export interface NodeBinary {
  readonly path: string;
  /** For example `v20.19.0`. */
  readonly version: string;
  readonly options: ProcessOptions;
  /** Why SQLite cannot be used in this Node, if so. */
  readonly noSqlite?: string;
}

/**
 * Examines a Node binary.
 * @param betterSqlite3 the folder of a better-sqlite3 for this binary; default: the project's own
 * @throws Error when the binary does not run
 */
export function nodeAt(path: string, betterSqlite3?: string): NodeBinary {
  const { stdout, error, status }: SpawnSyncReturns<string> = spawnSync(path, ['--version'], {
    encoding: 'utf8',
  });
  if (error || status !== 0) throw new Error(`${path} does not run: ${error?.message ?? `status ${status}`}`);
  const version = stdout.trim();
  const script = `new (require(${JSON.stringify(betterSqlite3 ?? 'better-sqlite3')}))(':memory:')`;
  const loads = spawnSync(path, ['-e', script], { stdio: 'ignore' }).status === 0;
  const preload = new URL('other-sqlite.js', import.meta.url).href;
  return {
    path,
    version,
    options: {
      node: path,
      ...(betterSqlite3 && { preloads: [preload], env: { BENCH_BETTER_SQLITE3: betterSqlite3 } }),
    },
    ...(!loads && { noSqlite: `better-sqlite3 does not load in Node ${version}` }),
  };
}

/** A Node that was installed for the benchmark. */
export interface InstalledNode {
  readonly binary: NodeBinary;
  /** Deletes the installation. */
  remove(): Promise<void>;
}

/** npm's package with the binary of Node for this machine. The package `node` itself would install it by a script. */
export const NODE_PACKAGE = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;

/** The path of the binary in its package. */
export const NODE_IN_PACKAGE = process.platform === 'win32' ? 'bin/node.exe' : 'bin/node';

/** The first version of better-sqlite3 whose package contains binaries for each platform. It needs Node 22. */
export const BETTER_SQLITE3 = 'better-sqlite3@13';

/**
 * Installs a major version of Node and a better-sqlite3 for it into a temporary folder, with npm. No install script runs.
 * @throws Error when npm fails, or has not ended after `timeoutMs`
 */
export async function installNode(major: string, timeoutMs: number): Promise<InstalledNode> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-node-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await writeFile(join(folder, 'package.json'), '{"private":true}\n');
    const options = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    await npm(folder, ['install', ...options, `${NODE_PACKAGE}@${major}`, BETTER_SQLITE3], timeoutMs);
    const modules = join(folder, 'node_modules');
    return {
      binary: nodeAt(join(modules, NODE_PACKAGE, NODE_IN_PACKAGE), join(modules, 'better-sqlite3')),
      remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Resolves when npm has succeeded. */
function npm(cwd: string, args: readonly string[], timeoutMs: number): Promise<void> {
  // npm names its own program to the scripts that it runs.
  const program = process.env.npm_execpath;
  const [command, first] = program ? [process.execPath, [program]] : ['npm', []];
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...first, ...args], {
      cwd,
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let messages = '';
    child.stderr.on('data', (chunk) => {
      messages += chunk;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else if (signal) reject(new Error(`npm install did not end within ${timeoutMs / 1_000} s`));
      else reject(new Error(`npm install failed: ${errorCode(messages) ?? `status ${code}`}`));
    });
  });
}

/** Returns the code of npm's error, for example `ENOTFOUND`. Its other messages name hosts and folders. */
function errorCode(messages: string): string | undefined {
  return /^npm \S+ code (\S+)$/m.exec(messages)?.[1];
}
