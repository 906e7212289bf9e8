import type { Database } from 'grpc-replay-guard/database';
import { BalancedChoices, type Random } from '../../helpers/faults/seeded-random.js';
import type { ServerProcess } from '../../helpers/processes/shop-process.js';
import type { Receiver } from '../../helpers/servers/webhook-receiver.js';
import { poll } from '../../helpers/waiting/poll.js';
import type { EventCounts } from './event-counts.js';
import { scrape } from './server-metrics.js';
import { MAX_WAIT_MS, WAITS_FOR_LEASES } from './settings.js';
import type { Role, ShopCluster } from './shop-cluster.js';

/** The lease of an event that a relay has claimed. Longer than the timeout of a delivery. */
const DELIVERY_LEASE_MS = 45_000;

/** The options of `ServerKiller`. */
export interface ServerKillerOptions {
  readonly cluster: ShopCluster;
  readonly database: Database;
  readonly receiver: Receiver;
  readonly random: Random;
  readonly counts: EventCounts;
}

/** Kills servers while they work, one at a time, and restarts each server. */
export class ServerKiller {
  readonly #options: ServerKillerOptions;
  readonly #choices: BalancedChoices<Role>;

  constructor(options: ServerKillerOptions) {
    this.#options = options;
    this.#choices = new BalancedChoices<Role>(options.random, { order: 1, inventory: 1, relay: 1 });
  }

  /**
   * Kills a server of a random role during its work, and restarts it.
   * @param startOrders starts the orders that the server must be working on
   */
  async killNext(startOrders: () => void): Promise<void> {
    const role = this.#choices.next();
    const victim = this.#options.cluster.anyServer(role);
    await this.#kill[role](victim, startOrders);
    await this.expireLeases();
    await this.#options.cluster.restart(role, victim);
  }

  readonly #kill: Record<Role, (victim: ServerProcess, startOrders: () => void) => Promise<void>> = {
    /** The inventory is paused, so no order can complete before the kill. */
    order: async (victim, startOrders) => {
      const { cluster } = this.#options;
      const inventory = cluster.anyServer('inventory');
      inventory.signal('SIGSTOP');
      try {
        startOrders();
        await poll('the order server executes an order', () => isExecuting(victim), MAX_WAIT_MS);
        await cluster.kill('order', victim);
      } finally {
        inventory.signal('SIGCONT');
      }
    },

    inventory: async (victim, startOrders) => {
      const { cluster } = this.#options;
      startOrders();
      await poll(
        'an order server executes an order',
        () => isExecuting(cluster.anyServer('order')),
        MAX_WAIT_MS,
      );
      await cluster.kill('inventory', victim);
    },

    /** The receiver does not respond, so no delivery can complete before the kill. */
    relay: async (victim, startOrders) => {
      const { cluster, receiver, counts } = this.#options;
      const since = Date.now();
      receiver.hang();
      startOrders();
      await poll(
        'the relay delivers an event',
        async () => (await this.#countClaimed(since)) > 0,
        MAX_WAIT_MS,
      );
      await cluster.kill('relay', victim);
      counts.add('deliveries interrupted by kills', await this.#countClaimed(since));
      await receiver.down();
      await receiver.up();
    },
  };

  /** Counts the undelivered webhook events that a relay has claimed since the given time. */
  async #countClaimed(since: number): Promise<number> {
    const rows = await this.#options.database.query(
      `SELECT 1 AS one FROM replay_guard_outbox
       WHERE destination = 'webhook' AND ended_at IS NULL AND due_at > $1`,
      [since + DELIVERY_LEASE_MS],
    );
    return rows.length;
  }

  /**
   * Expires all leases and pauses in the database, unless the run waits for real leases. Running servers lose their
   * leases too, and must detect the loss.
   */
  async expireLeases(): Promise<void> {
    if (WAITS_FOR_LEASES) return;
    const { database } = this.#options;
    await database.query('UPDATE replay_guard_records SET lease_until = 0 WHERE state <= 0');
    await database.query(
      'UPDATE replay_guard_outbox SET due_at = due_at - $1 WHERE ended_at IS NULL AND dead_at IS NULL',
      [DELIVERY_LEASE_MS],
    );
  }
}

const isExecuting = async (server: ServerProcess) => (await scrape(server)).sum('in_flight') > 0;
