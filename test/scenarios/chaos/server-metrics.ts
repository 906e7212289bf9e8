import type { ServerProcess } from '../../helpers/processes/shop-process.js';
import { Scrape } from '../../replay-guard/contract/table/metrics-scrape.js';
import type { Tally } from './event-counts.js';

/** What a server's own metrics say of its orders. */
export async function scrape(server: ServerProcess): Promise<Scrape> {
  const response = await fetch(`http://${await server.opsAddress()}/metrics`);
  return new Scrape(await response.text());
}

const PLACE = { method: 'PlaceOrder' };

/** Adds what a server has counted, before it ends. */
export async function addMetrics(server: ServerProcess, tally: Tally): Promise<void> {
  const seen = await scrape(server);
  for (const outcome of ['executed', 'replayed', 'joined', 'in_progress', 'released', 'refused']) {
    tally.add(outcome, seen.sum('calls_total', { ...PLACE, outcome }));
  }
  tally.add('takeovers', seen.sum('takeovers_total', PLACE));
  tally.add('deliveries failed', seen.sum('outbox_failed_attempts_total'));
  tally.add('leases of deliveries lost', seen.sum('outbox_leases_lost_total'));
}
