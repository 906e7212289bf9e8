import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { type Ended, runProgram } from '#library/cli/commands.js';
import { administer } from '../helpers/databases/administer.js';

const program = fileURLToPath(import.meta.resolve('#library/cli/main.js'));

/** A run of the program. */
export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  /** What it has written to its standard error. */
  readonly err: () => string;
  /** Resolves to its output and exit code. The code is -1 if a signal has ended it. */
  readonly ended: Promise<{ code: number; out: string; err: string }>;
}

/** Starts the program without the environment of the tests. */
export function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env.PATH, ...env } });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended: Running['ended'] = new Promise((resolve) =>
    child.once('close', (code) => resolve({ code: code ?? -1, out, err })),
  );
  return { child, err: () => err, ended };
}

/** Runs the program in this process, which is cheaper, and resolves to its output and exit code. */
export function run(...args: string[]): Promise<Ended> {
  return runProgram(args, {});
}

/** Creates a role without any right. It is dropped after the test. Resolves to its name, and to the address with it. */
export async function freshRole(t: ExecutionContext, url: string, prefix = 'role_') {
  const role = `${prefix}${randomUUID().replaceAll('-', '')}`;
  const name = `"${role.replaceAll('"', '""')}"`;
  await administer(url, `CREATE ROLE ${name} LOGIN PASSWORD 'secret'`);
  t.teardown(async () => {
    await administer(url, `DROP OWNED BY ${name}; DROP ROLE ${name}`);
  });
  return { role, name, url: Object.assign(new URL(url), { username: role, password: 'secret' }).href };
}
