import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { SharedWorker } from 'ava/plugin';

/** What a test process is told about the run's Postgres. */
export type ClusterAnswer = { readonly url: string } | { readonly error: string };

/** Ava's shared worker: one Postgres for all test processes of a run, started when the first one asks. */
export default async function postgresWorker({ negotiateProtocol }: SharedWorker.FactoryOptions) {
  const protocol = negotiateProtocol<unknown>(['ava-4']).ready();
  let answer: Promise<ClusterAnswer> | undefined;
  for await (const question of protocol.subscribe()) {
    answer ??= launch();
    void answer.then((told) => question.reply(told));
  }
}

function launch(): Promise<ClusterAnswer> {
  const program = fileURLToPath(new URL('postgres-main.js', import.meta.url));
  // Its own process group: Ctrl-C reaches it as the end of its input, after the tests are gone.
  const child = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    child.once('error', (error) => resolve({ error: String(error) }));
    child.once('exit', (code) => resolve({ error: `the Postgres process ended with code ${code}` }));
  });
}
