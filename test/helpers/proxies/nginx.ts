import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freshFolder } from '../databases/engines.js';
import type { Cleanup } from '../databases/postgres.js';
import { findProgram, freePort, startProxyProgram } from './proxy-program.js';

/** The path of nginx. Undefined if this machine has none. */
export const nginx = findProgram('nginx') ?? ['/usr/sbin/nginx'].find(existsSync);

/**
 * Starts an nginx, which ends after the test. Resolves to its address.
 * @param settings makes the blocks inside `http { }` that listen on the given port
 * @throws Error when this machine has no nginx, or nginx refuses the settings
 */
export async function startNginx(t: Cleanup, settings: (port: number) => string): Promise<string> {
  if (!nginx) throw new Error('this machine has no nginx');
  const folder = await freshFolder(t);
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
  await startProxyProgram(t, nginx, ['-e', 'stderr', '-c', join(folder, 'settings')], port);
  return `127.0.0.1:${port}`;
}
