import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../helpers/databases/migrate-main.js', import.meta.url));

/** Starts three servers on one database at the same moment. Resolves to the output of each, errors included. */
export async function migrateInProcesses(url: string, component: string, steps: readonly string[]) {
  const servers = Array.from({ length: 3 }, () =>
    spawn(process.execPath, [program, url, component, JSON.stringify(steps)]),
  );
  await Promise.all(servers.map((server) => once(server.stdout, 'data')));
  const outputs = servers.map(async (server) =>
    `${await text(server.stdout)}${await text(server.stderr)}`.trim(),
  );
  for (const server of servers) server.stdin.end();
  return Promise.all(outputs);
}
