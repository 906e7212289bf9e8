import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Returns whether `strace` is there to count system calls. */
export function canCountFsyncs(): boolean {
  return spawnSync('strace', ['-V']).status === 0;
}

/**
 * Counts the calls of fsync and fdatasync that processes make during some work.
 * Resolves to undefined when strace may not attach to the processes.
 */
export async function countFsyncs(
  pids: readonly number[],
  work: () => Promise<unknown>,
): Promise<number | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'replay-guard-strace-'));
  const output = join(folder, 'calls');
  const targets = pids.flatMap((pid) => ['-p', String(pid)]);
  const args = ['-f', '-e', 'trace=fsync,fdatasync', '-o', output, ...targets];
  const tracer = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(tracer, 'exit');
  try {
    if (!(await attached(tracer.stderr, pids.length))) return undefined;
    await work();
    tracer.kill('SIGINT');
    await ended;
    const lines = (await readFile(output, 'utf8')).split('\n');
    // A call that another thread interrupts has a second line, which names the call after '<...'.
    return lines.filter((line) => /^\d+\s+(fsync|fdatasync)\(/.test(line)).length;
  } finally {
    tracer.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves to false if strace ends before it is attached to every process. */
function attached(stderr: NodeJS.ReadableStream, processes: number): Promise<boolean> {
  return new Promise((resolve) => {
    let text = '';
    stderr.on('data', (chunk) => {
      text += chunk;
      const attachedTo = text.match(/Process \d+ attached/g)?.length ?? 0;
      if (attachedTo >= processes) resolve(true);
    });
    stderr.once('end', () => resolve(false));
  });
}
