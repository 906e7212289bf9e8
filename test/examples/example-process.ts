import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { manifestOf } from './installed.js';

/** A running example. */
export interface ExampleProcess {
  /** The address for gRPC clients, or the queue of a consumer. */
  readonly address: string;
  /** The lines on stdout after the start. */
  readonly output: readonly string[];
  /** Sends SIGTERM, as an operator does. Resolves to the exit code and the text on stderr. */
  stop(): Promise<{ code: number | null; stderr: string }>;
  /** Kills the process with SIGKILL. Resolves when the process has ended. */
  kill(): Promise<void>;
}

/**
 * Starts an example with the command of `npm start`. Resolves when the example is ready. The process is killed after
 * the test.
 * @throws Error when the process ends before it is ready
 */
export async function startExample(
  t: Cleanup,
  folder: string,
  env: Record<string, string>,
): Promise<ExampleProcess> {
  const { scripts } = await manifestOf(folder);
  const [, ...args] = String(scripts.start).split(' ');
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(kill);
  const output: string[] = [];
  const address = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, served] = /^(?:serving on|consuming from) (?:port )?(\S+)$/.exec(line) ?? [];
      if (!served) output.push(line);
      else resolve(/^\d+$/.test(served) ? `127.0.0.1:${served}` : served);
    });
    void ended.then((code) => reject(new Error(`the example ended with code ${code}: ${stderr}`)));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    return { code: await ended, stderr };
  };
  return { address, output, stop, kill };
}
