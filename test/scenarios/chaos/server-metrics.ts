import type { ServerProcess } from '../../helpers/processes/shop-process.js';
import { Scrape } from '../../replay-guard/contract/table/metrics-scrape.js';
import type { EventCounts } from './event-counts.js';

/** Reads the metrics of a server. */
export async function scrape(server: ServerProcess): Promise<Scrape> {
  const response = await fetch(`http://${await server.opsAddress()}/metrics`);
  return new Scrape(await response.text());
}

const PLACE = { method: 'PlaceOrder' };

/** Adds the metrics of a server about orders and deliveries to the counts. */
export async function addMetrics(server: ServerProcess, counts: EventCounts): Promise<void> {
  const metrics = await scrape(server);
  for (const outcome of ['executed', 'replayed', 'joined', 'in_progress', 'released', 'refused']) {
    counts.add(outcome, metrics.sum('calls_total', { ...PLACE, outcome }));
  }
  counts.add('takeovers', metrics.sum('takeovers_total', PLACE));
  counts.add('deliveries failed', metrics.sum('outbox_failed_attempts_total'));
  counts.add('leases of deliveries lost', metrics.sum('outbox_leases_lost_total'));
}
