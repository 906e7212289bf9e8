import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshFolder } from '../databases/engines.js';
import type { Cleanup } from '../databases/postgres.js';
import { findProgram, freePort, startProxyProgram } from './proxy-program.js';

/** The path of Envoy. Undefined if this machine has none. */
export const envoy = findProgram('envoy');

/**
 * Starts an Envoy, which ends after the test. Resolves to its port on 127.0.0.1.
 * @param settings makes the settings, in YAML, of an Envoy that listens on the given port
 * @throws Error when this machine has no Envoy, or Envoy refuses the settings
 */
export async function startEnvoy(t: Cleanup, settings: (port: number) => string): Promise<number> {
  if (!envoy) throw new Error('this machine has no Envoy');
  const path = join(await freshFolder(t), 'envoy.yaml');
  const port = await freePort();
  await writeFile(path, settings(port));
  // Without the flags Envoy starts a thread for each CPU, and refuses to start beside another Envoy.
  const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn'];
  await startProxyProgram(t, envoy, ['-c', path, ...flags], port);
  return port;
}
