import type { Database } from 'grpc-replay-guard/database';
import { Deck, type Random } from '../../helpers/faults/seeded-random.js';
import type { ServerProcess } from '../../helpers/processes/shop-process.js';
import type { Receiver } from '../../helpers/servers/webhook-receiver.js';
import { poll } from '../../helpers/waiting/poll.js';
import type { Tally } from './event-counts.js';
import { scrape } from './server-metrics.js';
import { BOUND_MS, WAITS_FOR_LEASES } from './settings.js';
import type { Fleet, Role } from './shop-cluster.js';

/** As long as a delivery has, and longer: the lease of an event that a relay has just claimed. */
const LEASE_OF_DELIVERY_MS = 45_000;

export interface KillerOptions {
  readonly fleet: Fleet;
  readonly database: Database;
  readonly receiver: Receiver;
  readonly random: Random;
  readonly tally: Tally;
}

/** Kills one server after another, each in the middle of its work, and starts it again. */
export class Killer {
  readonly #options: KillerOptions;
  readonly #deck: Deck<Role>;

  constructor(options: KillerOptions) {
    this.#options = options;
    this.#deck = new Deck<Role>(options.random, { order: 1, inventory: 1, relay: 1 });
  }

  /** @param go lets orders begin that it is to be in the middle of */
  async strike(go: () => void): Promise<void> {
    const role = this.#deck.deal();
    const victim = this.#options.fleet.one(role);
    await this.#kill[role](victim, go);
    await this.passTime();
    await this.#options.fleet.restart(role, victim);
  }

  readonly #kill: Record<Role, (victim: ServerProcess, go: () => void) => Promise<void>> = {
    /** No order can end while the inventory stands still. */
    order: async (victim, go) => {
      const { fleet } = this.#options;
      const inventory = fleet.one('inventory');
      inventory.signal('SIGSTOP');
      try {
        go();
        await poll('it places an order', () => isPlacing(victim), BOUND_MS);
        await fleet.kill('order', victim);
      } finally {
        inventory.signal('SIGCONT');
      }
    },

    inventory: async (victim, go) => {
      const { fleet } = this.#options;
      go();
      await poll('an order is placed', () => isPlacing(fleet.one('order')), BOUND_MS);
      await fleet.kill('inventory', victim);
    },

    /** No delivery can end while the receiver says nothing. */
    relay: async (victim, go) => {
      const { fleet, receiver, tally } = this.#options;
      const since = Date.now();
      receiver.hang();
      go();
      await poll('it delivers', async () => (await this.#claimed(since)) > 0, BOUND_MS);
      await fleet.kill('relay', victim);
      tally.add('deliveries left by the dead', await this.#claimed(since));
      await receiver.down();
      await receiver.up();
    },
  };

  /** How many webhooks a relay has claimed since then, and not sent yet. */
  async #claimed(since: number): Promise<number> {
    const rows = await this.#options.database.query(
      `SELECT 1 AS one FROM replay_guard_outbox
       WHERE destination = 'webhook' AND ended_at IS NULL AND due_at > $1`,
      [since + LEASE_OF_DELIVERY_MS],
    );
    return rows.length;
  }

  /**
   * As if the longest of all leases and pauses had passed, where they are not waited for. Those of the living as
   * well: they have to notice.
   */
  async passTime(): Promise<void> {
    if (WAITS_FOR_LEASES) return;
    const { database } = this.#options;
    await database.query('UPDATE replay_guard_records SET lease_until = 0 WHERE state <= 0');
    await database.query(
      'UPDATE replay_guard_outbox SET due_at = due_at - $1 WHERE ended_at IS NULL AND dead_at IS NULL',
      [LEASE_OF_DELIVERY_MS],
    );
  }
}

const isPlacing = async (server: ServerProcess) => (await scrape(server)).sum('in_flight') > 0;
