// `npm run dashboard`: runs two servers of the shop under load and faults, lets Prometheus scrape them, and draws the answers to the
// queries of the dashboard to docs/operations/dashboard.svg. It takes about five minutes.
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { CleanUps } from '../../adversary/round/clean-up.js';
import { startCluster } from '../../helpers/databases/postgres-cluster.js';
import { SECRET } from '../../helpers/messages/signed-webhook.js';
import { hasPrometheus, type Prometheus, startPrometheus } from '../../helpers/processes/prometheus.js';
import { ServerProcess } from '../../helpers/processes/shop-process.js';
import { startReceiver, WEBHOOK_SECRET } from '../../helpers/servers/webhook-receiver.js';
import { FOLDER } from '../alert-rules.js';
import { readPanels, sentExpression } from '../dashboard.js';
import { Clients, LOCKED_ITEM } from './load.js';
import { pictureOf } from './picture.js';
import type { Phase } from './time-panel.js';

const JOB = 'shop';
/** The window of rates, and the pause between two points of a line, in seconds. Prometheus scrapes once a second. */
const [WINDOW_S, STEP_S] = [10, 2];
/** How many calls wait for the locked row, and how many duplicates each of them has. */
const [LOCKED_CALLS, LOCKED_DUPLICATES] = [24, 3];

if (!(await hasPrometheus())) throw new Error('prometheus and promtool are not installed');
const cleanUps = new CleanUps();
const phases: Phase[] = [];
try {
  const cluster = await startCluster();
  cleanUps.teardown(() => cluster.stop());
  const receiver = await startReceiver(cleanUps);
  const env = {
    ...{ DATABASE_URL: cluster.url, REPLAY_GUARD_TTL: '1m' },
    ...{ WEBHOOK_URL: receiver.url, WEBHOOK_SECRET, WAREHOUSE_WEBHOOK_SECRET: SECRET },
  };
  const servers = [new ServerProcess(cleanUps, env), new ServerProcess(cleanUps, env)];
  const grpc = await Promise.all(servers.map((server) => server.grpcAddress()));
  const targets = await Promise.all(servers.map((server) => server.opsAddress()));
  const rules = `${FOLDER}/alerts.yml`;
  const prometheus = await startPrometheus(cleanUps, { job: JOB, targets, intervalMs: 1_000, rules });
  const clients = new Clients(cleanUps, grpc, targets);
  await clients.stock();
  clients.startUsual();
  // The first calls of a process are slow.
  await pause(30_000);
  const from = Date.now() / 1_000;
  await pause(20_000);

  await phase('clients repeat calls, reuse keys, omit keys', '#ddf4ff', async () => {
    clients.repeats = 2;
    const end = clients.startRefused();
    await pause(30_000);
    clients.repeats = 0;
    end();
  });
  await pause(15_000);

  await phase('a session locks a row', '#fff8c5', async () => {
    const session = new pg.Client({ connectionString: cluster.url });
    await session.connect();
    await session.query('BEGIN');
    await session.query('SELECT 1 FROM inventory_items WHERE sku = $1 FOR UPDATE', [LOCKED_ITEM]);
    // The orders claim first, so that the killed server holds leases.
    for (let call = 0; call < LOCKED_CALLS; call++) clients.track(clients.order(LOCKED_ITEM));
    await pause(1_000);
    for (let call = 0; call < LOCKED_CALLS; call++) {
      const key = randomUUID();
      for (let copy = 0; copy <= LOCKED_DUPLICATES; copy++)
        clients.track(clients.receive(LOCKED_ITEM, { key }));
    }
    await pause(1_000);
    await phase('a server is killed', '#e6d9f5', async () => {
      await servers[1]?.kill();
      await pause(3_000);
      servers[1] = (await servers[1]?.restart(cleanUps)) as ServerProcess;
      await servers[1].grpcAddress();
    });
    await pause(15_000);
    await session.end();
  });
  // The leases of the killed server run out, and the other one takes its executions over.
  await pause(35_000);

  await phase('Postgres is down', '#ffebe9', async () => {
    await cluster.crash();
    await pause(20_000);
    await cluster.start();
  });
  await pause(25_000);

  await phase('the receiver of events is down, then refuses some', '#fff1e5', async () => {
    await receiver.down();
    await pause(15_000);
    await receiver.up();
    receiver.answers.push(...Array.from({ length: 3 }, () => 400));
    await pause(15_000);
  });
  await pause(20_000);
  await draw(prometheus, from, Date.now() / 1_000);
  await clients.stop();
} finally {
  await cleanUps.run();
}

async function phase(title: string, color: string, run: () => Promise<void>): Promise<void> {
  console.log(title);
  const from = Date.now() / 1_000;
  const own: Phase = { title, color, from, to: from };
  phases.push(own);
  await run();
  own.to = Date.now() / 1_000;
}

async function draw(prometheus: Prometheus, from: number, to: number): Promise<void> {
  const panels = await Promise.all(
    (await readPanels()).map(async (panel) => ({
      panel,
      answers: await Promise.all(
        (panel.targets ?? []).map(async ({ expr, legendFormat }) => {
          const expression = sentExpression(expr, JOB, `${WINDOW_S}s`);
          return { legendFormat, series: await prometheus.range(expression, from, to, STEP_S) };
        }),
      ),
    })),
  );
  const silent = panels.filter(({ answers }) => answers.some(({ series }) => series.length === 0));
  for (const { panel } of silent) console.log(`a query without data: ${panel.title}`);
  const fired = await prometheus.range('max by (alertname) (ALERTS{alertstate="firing"})', from, to, 1);
  console.log(`alerts that fired: ${fired.map(({ labels }) => labels.alertname).join(', ')}`);
  const heading = 'Two servers of the shop on Postgres, scraped by Prometheus once a second';
  await writeFile(`${FOLDER}/dashboard.svg`, pictureOf(panels, heading, { from, to, phases }, STEP_S));
}
