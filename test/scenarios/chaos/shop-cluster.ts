import { createServer } from 'node:net';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { ServerProcess } from '../../helpers/processes/shop-process.js';
import { Tally } from './event-counts.js';
import { inside, startBadLine } from './faulty-network.js';
import { addMetrics } from './server-metrics.js';

/** What a process of the shop is for. */
export type Role = 'order' | 'inventory' | 'relay';

const ORDER_SERVERS = 2;

/** Order servers, an inventory server and a relay, each a process of its own, on one database. */
export class Fleet {
  /** What goes wrong between the servers. */
  readonly between = new Tally();
  readonly #t: Cleanup;
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #servers: Record<Role, ServerProcess[]> = { order: [], inventory: [], relay: [] };
  /** Where the order servers are, up or down: they keep their ports. */
  #addresses: readonly string[] = [];

  constructor(t: Cleanup, random: Random, tally: Tally) {
    this.#t = t;
    this.#random = random;
    this.#tally = tally;
  }

  /** @param env what all of them are given */
  async start(env: Record<string, string>): Promise<void> {
    const [inventory, relay] = [await addresses(), await addresses()];
    const orders = await Promise.all(Array.from({ length: ORDER_SERVERS }, addresses));
    this.#addresses = orders.map(({ GRPC_ADDRESS }) => GRPC_ADDRESS);
    const order = {
      ...env,
      SERVICES: 'order',
      INVENTORY_ADDRESS: await this.#badLineTo(inventory.GRPC_ADDRESS),
    };
    this.#launch('inventory', { ...env, SERVICES: 'inventory', ...inventory });
    this.#launch('relay', { ...order, ...relay });
    for (const one of orders) this.#launch('order', { ...order, OUTBOX_RELAY: 'off', ...one });
    await Promise.all(this.#all.map((server) => server.grpcAddress()));
  }

  one(role: Role): ServerProcess {
    const servers = this.#servers[role];
    return servers[Math.floor(this.#random() * servers.length)] as ServerProcess;
  }

  /** Where the next call goes, whether somebody is there or not. */
  readonly anyOrderAddress = (): string =>
    this.#addresses[Math.floor(this.#random() * this.#addresses.length)] as string;

  /** `kill -9`. What it has counted is added up before. */
  async kill(role: Role, victim: ServerProcess): Promise<void> {
    await addMetrics(victim, this.#tally);
    await victim.kill();
    this.#tally.add(`kills of ${role}`);
  }

  /** Starts a server again that was killed; resolves when it serves. */
  async restart(role: Role, victim: ServerProcess): Promise<void> {
    const servers = this.#servers[role];
    const next = await victim.restart(this.#t);
    servers[servers.indexOf(victim)] = next;
    await next.grpcAddress();
  }

  /** Adds up what those who live have counted. */
  async addMetrics(): Promise<void> {
    for (const server of this.#all) await addMetrics(server, this.#tally);
  }

  async #badLineTo(inventory: string): Promise<string> {
    return (await startBadLine(this.#t, inventory, this.#random, this.between, inside)).address;
  }

  get #all(): ServerProcess[] {
    return Object.values(this.#servers).flat();
  }

  #launch(role: Role, env: Record<string, string>): void {
    this.#servers[role].push(new ServerProcess(this.#t, env));
  }
}

/** Where a server listens, whenever it runs. */
async function addresses() {
  return { GRPC_ADDRESS: await fixedAddress(), OPS_ADDRESS: await fixedAddress() };
}

/** Below the ports that connections are given: nobody takes it while its server is down. */
async function fixedAddress(): Promise<string> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const probe = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => probe.close(resolve));
    if (isFree) return `127.0.0.1:${port}`;
  }
}
