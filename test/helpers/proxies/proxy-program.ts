import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { basename, delimiter, join } from 'node:path';
import type { Cleanup } from '../databases/postgres.js';
import { poll } from '../waiting/poll.js';

/** Returns the path of a program of this machine. Undefined if no folder of `PATH` has the program. */
export function findProgram(name: string): string | undefined {
  const folders = String(process.env.PATH).split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, name)).find(existsSync);
}

/**
 * Starts a proxy that listens on the given port of 127.0.0.1. It ends after the test.
 * @throws Error with the log of the proxy when it ends before it listens
 */
export async function startProxyProgram(
  t: Cleanup,
  program: string,
  args: readonly string[],
  port: number,
): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  t.teardown(async () => {
    kill();
    await exited;
    process.removeListener('exit', kill);
  });
  let log = '';
  child.stderr.on('data', (chunk) => {
    log += chunk;
  });
  await poll(`${basename(program)} listens`, async () => {
    if (hasEnded(child)) throw new Error(`${basename(program)} has ended: ${log}`);
    return isListening(port);
  });
}

const hasEnded = ({ exitCode, signalCode }: ChildProcess) => exitCode !== null || signalCode !== null;

/** Resolves to a port of 127.0.0.1 on which no program listens. */
export async function freePort(): Promise<number> {
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
