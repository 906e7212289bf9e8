import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Cleanup } from '../helpers/databases/postgres.js';
import { manifestOf } from './installed.js';

/** An example that is serving. */
export interface ExampleProcess {
  /** As a gRPC client takes it; of a consumer the queue. */
  readonly address: string;
  /** What it has said on stdout since. */
  readonly said: readonly string[];
  /** Asks it to end, as an operator does; resolves with its exit code and all that it wrote to stderr. */
  stop(): Promise<{ code: number | null; stderr: string }>;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>;
}

/** Runs what `npm start` runs, and waits until it serves; killed after the test. @throws when it ends before */
export async function startExample(
  t: Cleanup,
  folder: string,
  env: Record<string, string>,
): Promise<ExampleProcess> {
  const { scripts } = await manifestOf(folder);
  const [, ...args] = scripts.start.split(' ');
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
  const said: string[] = [];
  const address = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, served] = /^(?:serving on|consuming from) (?:port )?(\S+)$/.exec(line) ?? [];
      if (!served) said.push(line);
      else resolve(/^\d+$/.test(served) ? `127.0.0.1:${served}` : served);
    });
    void ended.then((code) => reject(new Error(`the example ended with code ${code}: ${stderr}`)));
  });
  const stop = async () => {
    child.kill('SIGTERM');
    return { code: await ended, stderr };
  };
  return { address, said, stop, kill };
}
