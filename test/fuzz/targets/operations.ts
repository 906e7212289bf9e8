import { isIP } from 'node:net';
import { Registry } from 'prom-client';
import { listenOps } from '#src/ops/ops.js';
import { Readiness } from '#src/ops/readiness.js';
import { bytesOf, exchange, type HttpInput, httpInputs } from '../inputs/http-requests.js';
import { must, type Target } from '../target.js';

/** The statuses that the operations port may answer. 400, 408, 417, 431 and 505 are Node's own refusals. */
const STATUSES = new Set([100, 200, 400, 403, 404, 405, 408, 411, 413, 417, 421, 431, 501, 503, 505]);

/** Requests to the operations port, as bytes on a connection. */
export const operationsTarget: Target<HttpInput> = {
  title: 'requests to the operations port',
  inputs: httpInputs,
  quickRuns: 250,
  requires: ['pages', 'refusals', 'actions'],
  planted: 'an action ignores the origin of its request',
  async open(t, { planted, count }) {
    const readiness = new Readiness();
    readiness.serve(async () => {});
    t.teardown(() => readiness.block('over'));
    const ops = await listenOps({ host: '127.0.0.1', port: 0 }, readiness, new Registry());
    t.teardown(() => ops.close());
    let actions = 0;
    const act = async () => ({ done: ++actions });
    ops.show('/outbox', () => ({ known: true }));
    if (planted) ops.receive('/action', async () => ({ status: 200, line: JSON.stringify(await act()) }));
    else ops.act('/action', act);
    return {
      async check(input) {
        const before = actions;
        const text = await exchange(ops.port, bytesOf(input));
        const lines = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map(([, status]) => Number(status));
        for (const status of lines) must(STATUSES.has(status), `the port answers ${status}`);
        const acted = actions > before;
        if (input.changes.length === 0) {
          // Node closes the connection after CONNECT, which no port of the shop answers.
          must(lines.length > 0 || input.method === 'CONNECT', 'the port answers nothing');
          const mayAct =
            input.method === 'POST' && /^(\/|http:\/\/x\/)?action\b/.test(input.target.slice(0, 40));
          const isPage = input.headers.some(([name]) => name.toLowerCase() === 'origin');
          must(!acted || (mayAct && !isPage), 'a request that must not act has acted');
          const isOwn = isOwnHost(input.host) && !input.target.startsWith('http:');
          must(isOwn || !lines.includes(200), 'a page is shown under the name of another host');
        }
        if (/origin/i.test(text)) must(!text.includes('evil.example'), 'the answer quotes the request');
        if (acted) count('actions');
        count(lines.includes(200) ? 'pages' : 'refusals');
        must((await alive(ops.port)) === 200, 'the port does not answer any more');
      },
    };
  },
};

/** Whether a host is an address or `localhost`, so that no name of a web page leads to the port. */
function isOwnHost(host: string): boolean {
  const [, name = ''] = /^(.*?)(?::\d*)?$/.exec(host.trim().toLowerCase()) ?? [];
  if (/^\[.*\]$/.test(name)) return isIP(name.slice(1, -1)) === 6;
  const plain = name.replace(/\.$/, '');
  return plain === 'localhost' || isIP(plain) === 4;
}

async function alive(port: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/livez`);
  await response.text();
  return response.status;
}
