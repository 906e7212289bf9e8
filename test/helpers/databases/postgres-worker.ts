import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { SharedWorker } from 'ava/plugin';

/** The answer to a test process that asks for the Postgres of the test run. */
export type ClusterAnswer =
  | {
      readonly url: string;
    }
  | { readonly error: string };

/** A shared worker of ava. It starts one Postgres for all test processes of a run, at the first request. */
export default async function postgresWorker({ negotiateProtocol }: SharedWorker.FactoryOptions) {
  const protocol = negotiateProtocol<unknown>(['ava-4']).ready();
  let answer: Promise<ClusterAnswer> | undefined;
  for await (const question of protocol.subscribe()) {
    answer ??= launch();
    void answer.then((reply) => question.reply(reply));
  }
}

function launch(): Promise<ClusterAnswer> {
  const program = fileURLToPath(new URL('postgres-main.js', import.meta.url));
  // With its own process group the child does not receive Ctrl-C. It stops when its input ends, after the tests.
  const child = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
  return new Promise((resolve) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line)));
    child.once('error', (error) => resolve({ error: String(error) }));
    child.once('exit', (code) => resolve({ error: `the Postgres process ended with code ${code}` }));
  });
}
