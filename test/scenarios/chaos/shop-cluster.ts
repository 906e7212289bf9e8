import { createServer } from 'node:net';
import type { Cleanup } from '../../helpers/databases/postgres.js';
import type { Random } from '../../helpers/faults/seeded-random.js';
import { ServerProcess } from '../../helpers/processes/shop-process.js';
import { EventCounts } from './event-counts.js';
import { serverFaults, startFaultyNetwork } from './faulty-network.js';
import { addMetrics } from './server-metrics.js';

/** The role of a shop process. */
export type Role = 'order' | 'inventory' | 'relay';

const ORDER_SERVERS = 2;

/** Order servers, an inventory server and a relay, each in a separate process, on one database. */
export class ShopCluster {
  /** The counts of faults between the servers. */
  readonly between = new EventCounts();
  readonly #t: Cleanup;
  readonly #random: Random;
  readonly #counts: EventCounts;
  readonly #servers: Record<Role, ServerProcess[]> = { order: [], inventory: [], relay: [] };
  /** The addresses of the order servers. A server keeps its port when it restarts. */
  #addresses: readonly string[] = [];

  constructor(t: Cleanup, random: Random, counts: EventCounts) {
    this.#t = t;
    this.#random = random;
    this.#counts = counts;
  }

  /** Starts all processes. @param env the environment of every process */
  async start(env: Record<string, string>): Promise<void> {
    const [inventory, relay] = [await addresses(), await addresses()];
    const orders = await Promise.all(Array.from({ length: ORDER_SERVERS }, addresses));
    this.#addresses = orders.map(({ GRPC_ADDRESS }) => GRPC_ADDRESS);
    const order = {
      ...env,
      SERVICES: 'order',
      INVENTORY_ADDRESS: await this.#faultyNetworkTo(inventory.GRPC_ADDRESS),
    };
    this.#launch('inventory', { ...env, SERVICES: 'inventory', ...inventory });
    this.#launch('relay', { ...order, ...relay });
    for (const address of orders) this.#launch('order', { ...order, OUTBOX_RELAY: 'off', ...address });
    await Promise.all(this.#all.map((server) => server.grpcAddress()));
  }

  /** Returns a random process of this role. */
  anyServer(role: Role): ServerProcess {
    const servers = this.#servers[role];
    return servers[Math.floor(this.#random() * servers.length)] as ServerProcess;
  }

  /** Returns the address of a random order server, running or not. */
  readonly anyOrderAddress = (): string =>
    this.#addresses[Math.floor(this.#random() * this.#addresses.length)] as string;

  /** Adds up the metrics of a process, then kills the process with SIGKILL. */
  async kill(role: Role, victim: ServerProcess): Promise<void> {
    await addMetrics(victim, this.#counts);
    await victim.kill();
    this.#counts.add(`kills of ${role}`);
  }

  /** Restarts a killed process. Resolves when the process serves. */
  async restart(role: Role, victim: ServerProcess): Promise<void> {
    const servers = this.#servers[role];
    const next = await victim.restart(this.#t);
    servers[servers.indexOf(victim)] = next;
    await next.grpcAddress();
  }

  /** Adds up the metrics of all running processes. */
  async addMetrics(): Promise<void> {
    for (const server of this.#all) await addMetrics(server, this.#counts);
  }

  async #faultyNetworkTo(inventory: string): Promise<string> {
    return (await startFaultyNetwork(this.#t, inventory, this.#random, this.between, serverFaults)).address;
  }

  get #all(): ServerProcess[] {
    return Object.values(this.#servers).flat();
  }

  #launch(role: Role, env: Record<string, string>): void {
    this.#servers[role].push(new ServerProcess(this.#t, env));
  }
}

/** Returns the listening addresses of a process. They stay the same after a restart. */
async function addresses() {
  return { GRPC_ADDRESS: await fixedAddress(), OPS_ADDRESS: await fixedAddress() };
}

/** Returns an address below the ephemeral ports, so no connection takes the port while its server is down. */
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
