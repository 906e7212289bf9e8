import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { poll } from '../waiting/poll.js';

/** The places where systems install PgBouncer. */
const places = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'];

/** The path of PgBouncer. Undefined if this machine has none. */
export const pgbouncer = places.find(existsSync);

/** The processes that run, and their folders. Both end with the test process. */
const children = new Map<ChildProcess, string>();
process.once('exit', () => {
  for (const [child, folder] of children) {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

/** How a PgBouncer runs. */
export interface PgBouncerOptions {
  /** Default: `transaction`. */
  readonly mode?: 'session' | 'transaction' | 'statement';
  /** Whether the parameters that a connection sends when it opens are ignored. Default: they are refused. */
  readonly ignoresParameters?: boolean;
  /** The maximum number of sessions in each database. Default: 20. */
  readonly poolSize?: number;
}

/** A running PgBouncer. */
export interface PgBouncer {
  /** The connection string that leads through it to the database of the given one. */
  readonly url: string;
  /** Returns the connection string that leads through it to the database of another one on the same server. */
  through(url: string): string;
  /** Sends a signal. SIGKILL ends it at once. SIGINT ends it when the open transactions have ended. */
  kill(signal: 'SIGINT' | 'SIGKILL' | 'SIGTERM'): void;
  /** Whether the process has ended. */
  hasEnded(): boolean;
  /** Resolves when the process has ended. */
  ended(): Promise<void>;
  /** Sends new transactions to the Postgres of another connection string. */
  leadTo(url: string): Promise<void>;
  /** Starts it again on the same port, if it does not run. */
  start(): Promise<void>;
  /** Ends it and deletes its files. */
  stop(): Promise<void>;
}

/**
 * Starts a PgBouncer in front of the Postgres at `url`, with one user: the user of the URL. As root it runs as `nobody`,
 * because it refuses to run as root.
 * @throws Error when this machine has no PgBouncer
 */
export async function startPgBouncer(url: string, options: PgBouncerOptions = {}): Promise<PgBouncer> {
  const program = pgbouncer;
  if (!program) throw new Error('this machine has no PgBouncer');
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-pgbouncer-'));
  const { username, password } = new URL(url);
  const port = await freePort();
  await writeFile(join(folder, 'users'), `"${username}" "${password}"\n`);
  const leadTo = ({ hostname, port: target }: URL) =>
    writeFile(join(folder, 'settings'), settingsOf(`host=${hostname} port=${target}`, folder, port, options));
  await leadTo(new URL(url));
  const owner = process.getuid?.() === 0 ? idsOfNobody() : undefined;
  if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
  let child: ChildProcess | undefined;
  let log = '';
  const hasEnded = () => !child || child.exitCode !== null || child.signalCode !== null;
  const through = (other: string) => Object.assign(new URL(other), { host: `127.0.0.1:${port}` }).href;
  const running: PgBouncer = {
    url: through(url),
    through,
    kill: (signal) => child?.kill(signal),
    hasEnded,
    leadTo: async (other) => {
      await leadTo(new URL(other));
      child?.kill('SIGHUP');
    },
    ended: () => poll('PgBouncer ends', hasEnded),
    start: async () => {
      if (!hasEnded()) return;
      child = spawn(program, ['-q', join(folder, 'settings')], {
        ...owner,
        cwd: '/',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      children.set(child, folder);
      // The process may end before it. The end of the process ends it, too.
      child.unref();
      for (const stream of [child.stdout, child.stderr] as (Socket | null)[]) {
        stream?.unref();
        stream?.on('data', (chunk) => {
          log += chunk;
        });
      }
      await poll(`PgBouncer listens: ${log}`, () => isListening(port));
    },
    stop: async () => {
      child?.kill('SIGKILL');
      await running.ended();
      if (child) children.delete(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
  await running.start();
  return running;
}

function settingsOf(server: string, folder: string, port: number, options: PgBouncerOptions): string {
  const { mode = 'transaction', ignoresParameters = false, poolSize = 20 } = options;
  const ignored = 'statement_timeout,lock_timeout,idle_in_transaction_session_timeout';
  return [
    '[databases]',
    `* = ${server}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = trust',
    `auth_file = ${join(folder, 'users')}`,
    `pool_mode = ${mode}`,
    `default_pool_size = ${poolSize}`,
    'max_client_conn = 1000',
    // After a failure of the server, the next connection is not delayed for long.
    'server_login_retry = 0.2',
    ...(ignoresParameters ? [`ignore_startup_parameters = ${ignored}`] : []),
    '',
  ].join('\n');
}

function idsOfNobody(): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => socket.end(() => resolve(true)));
    socket.once('error', () => resolve(false));
  });
}
