import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cleanup } from '../databases/postgres.js';
import { poll } from '../waiting/poll.js';

/** The path of nginx. Undefined if this machine has none. */
export const nginx = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/bin/nginx'].find(existsSync);

/**
 * Starts an nginx, which ends after the test. Resolves to its address.
 * @param settings makes the blocks inside `http { }` that listen on the given port
 * @throws Error when this machine has no nginx, or nginx refuses the settings
 */
export async function startNginx(t: Cleanup, settings: (port: number) => string): Promise<string> {
  if (!nginx) throw new Error('this machine has no nginx');
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-nginx-'));
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${join(folder, name)};`,
  );
  const lines = [
    'daemon off; master_process off;',
    `pid ${join(folder, 'pid')}; error_log stderr warn;`,
    'events { }',
    `http { access_log off; ${temporary.join(' ')}`,
    settings(port),
    '}',
  ];
  await writeFile(join(folder, 'settings'), lines.join('\n'));
  const child = spawn(nginx, ['-e', 'stderr', '-c', join(folder, 'settings')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  t.teardown(async () => {
    kill();
    await exited;
    process.removeListener('exit', kill);
    await rm(folder, { recursive: true, force: true });
  });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  await poll('nginx listens', async () => {
    if (hasEnded(child)) throw new Error(`nginx has ended: ${log}`);
    return isListening(port);
  });
  return `127.0.0.1:${port}`;
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
