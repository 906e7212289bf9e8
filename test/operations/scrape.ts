import { readConfig } from '#src/config/config.js';
import { createLog } from '#src/platform/log.js';
import { type Shop, startShop } from '#src/shop.js';
import { type Cleanup, freshDatabase } from '../helpers/databases/postgres.js';
import { SECRET } from '../helpers/messages/signed-webhook.js';
import { poll } from '../helpers/waiting/poll.js';
import { groupingLabelsOf, type Series, selectorsOf, selects, seriesOf } from './series.js';

/** Scrapes a shop on Postgres that has not served a call. */
export async function scrape(t: Cleanup): Promise<Series[]> {
  const { ops } = await openShop(t);
  return seriesOf(await pageOf(`127.0.0.1:${ops.port}`));
}

/** Starts a shop on Postgres whose relay has reported its destinations. It stops after the test. */
export async function openShop(t: Cleanup): Promise<Shop> {
  const config = readConfig({
    GRPC_ADDRESS: '127.0.0.1:0',
    OPS_ADDRESS: '127.0.0.1:0',
    DATABASE_URL: await freshDatabase(t),
    WAREHOUSE_WEBHOOK_SECRET: SECRET,
  });
  const shop = await startShop(config, createLog('silent'), new AbortController().signal);
  t.teardown(() => shop.stop());
  await poll('the relay has reported its destinations', async () =>
    (await pageOf(`127.0.0.1:${shop.ops.port}`)).includes('replay_guard_outbox_dead{'),
  );
  return shop;
}

/** Resolves to the page with the metrics of a server. */
export async function pageOf(address: string): Promise<string> {
  return (await fetch(`http://${address}/metrics`)).text();
}

/** Returns what an expression names and a scrape does not have. */
export function missingFrom(series: readonly Series[], expression: string): string[] {
  const selectors = selectorsOf(expression);
  const selected = selectors.map((selector) => series.filter((one) => selects(selector, one)));
  const labels = new Set(selected.flat().flatMap((one) => [...one.labels.keys()]));
  return [
    ...selectors.filter((_, index) => selected[index]?.length === 0).map((one) => JSON.stringify(one)),
    ...groupingLabelsOf(expression).filter((label) => !labels.has(label)),
  ];
}
