import { createReplayGuard, executionSignal, stableId } from 'grpc-replay-guard';
import { createIdempotencyInterceptor, readMethodsOf } from 'grpc-replay-guard/client';
import { createConsumer } from 'grpc-replay-guard/consumer';
import type { OpenStore } from 'grpc-replay-guard/store';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Config } from './config/config.js';
import { type Address, formatAddress } from './config/settings.js';
import { createInventoryClient, type InventoryClient } from './fulfilment/inventory-client.js';
import { createOrderOutbox } from './fulfilment/order-outbox.js';
import { createOrderRelay } from './fulfilment/order-relay.js';
import { followModeFile } from './ops/mode-file.js';
import { createConsumerObserver, createObserver } from './ops/observers.js';
import { listenOps, type Ops } from './ops/ops.js';
import { showOutbox } from './ops/outbox-pages.js';
import { describePolicies, logPolicies } from './ops/policy-page.js';
import { Readiness } from './ops/readiness.js';
import { Closers } from './platform/closers.js';
import { openDatabase } from './platform/database.js';
import type { Log } from './platform/log.js';
import { inventoryService } from './rpc/definitions.js';
import { type CallContext, createCallContext } from './server/call-context.js';
import { clientCredentials, readTlsFiles, selfCredentials } from './server/credentials.js';
import { identityEntry, scopeFor } from './server/identity.js';
import { type ListenerOptions, listenInternally, listenPublicly } from './server/listeners.js';
import { createOwnCalls } from './server/own-calls.js';
import { type Hosted, hostInventory, hostOrder, migrate, type ServiceContext } from './services.js';
import { type GoodsReceipts, receiveElsewhere, receiveHere } from './warehouse/goods-receipts.js';
import { WarehouseWebhook } from './warehouse/warehouse-webhook.js';

/** A running shop. */
export interface Shop {
  /** Where it listens, with the ports that were taken. */
  readonly grpc: Address;
  readonly ops: Address;
  /** Refuses new calls, lets the running ones end within the grace time, then closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts everything that the settings ask for. Waits for a database that is out of reach, and says so at
 * `/readyz`.
 * @param signal gives the start up
 * @throws ConfigError the settings cannot be followed
 */
export async function startShop(config: Config, log: Log, signal: AbortSignal): Promise<Shop> {
  const closers = new Closers();
  try {
    return await start(config, log, signal, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

async function start(config: Config, log: Log, signal: AbortSignal, closers: Closers): Promise<Shop> {
  const tls = readTlsFiles(config.tls);
  const own = createOwnCalls();
  const scope = scopeFor(config.identity, own, log);
  const context = createCallContext(identityEntry(config.identity, own));
  const readiness = new Readiness();
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const ops = await listenOps(config.ops, readiness, registry);
  closers.add(() => ops.close());
  const warehouse = config.warehouseSecret ? new WarehouseWebhook(config.warehouseSecret, log) : undefined;
  if (warehouse) ops.receive('/webhooks/warehouse', (request) => warehouse.answer(request));
  const store = await openStore(config, log, signal, readiness);
  closers.add(() => store.close());
  const guard = createReplayGuard({
    ...config.guard,
    store: store.store,
    scope,
    observer: createObserver(registry, log),
  });
  closers.add(() => guard.close());

  const interceptors = [context.inbound, guard.interceptor];
  const listeners = { tls, interceptors, own, graceMs: config.shutdownGraceMs, closers };
  const clock = { now: Date.now };
  const surroundings = {
    database: store.database,
    clock,
    ids: { next: stableId },
    log,
    protect: guard.protect,
  };
  const { services, inventory } = await host(config, context, listeners, { ...surroundings, registry, ops });
  if (warehouse) warehouse.serve(await goodsReceipts(inventory, surroundings, registry, closers));
  if (config.modeFile) {
    const unfollow = followModeFile(config.modeFile, guard, log);
    closers.add(async () => unfollow());
  }
  logPolicies(guard, log);
  ops.show('/policies', () => describePolicies(guard));
  const { address, health } = await listenPublicly(services, config.grpc, listeners);
  readiness.serve(() => store.ping());
  // Added last, so the first to be done: no new call should come any more, and no duplicate wait.
  closers.add(async () => {
    readiness.block('stopping');
    warehouse?.stop();
    health.stop();
    guard.close().catch((error) => log.error({ err: error }, 'the guard did not close'));
  });
  return { grpc: address, ops: { ...config.ops, port: ops.port }, stop: () => closers.close() };
}

function openStore(config: Config, log: Log, signal: AbortSignal, readiness: Readiness): Promise<OpenStore> {
  return openDatabase(config.database, {
    migrate: (database) => migrate(database, config.services),
    signal,
    onUnavailable: (error, retryInMs) => {
      log.warn({ reason: error.message, retryInMs }, 'the database is unavailable');
      readiness.block('the database is unavailable');
    },
  });
}

/**
 * Makes the services that the settings ask for, and starts their work. Returns the inventory only where it is not
 * one of them.
 */
async function host(
  config: Config,
  context: CallContext,
  options: ListenerOptions,
  surroundings: ServiceContext & { readonly registry: Registry; readonly ops: Ops },
): Promise<{ services: Hosted[]; inventory: InventoryClient | undefined }> {
  const services: Hosted[] = [];
  let inventory: InventoryClient | undefined;
  if (config.services.has('inventory')) services.push(hostInventory(surroundings));
  if (config.services.has('order')) {
    inventory = await inventoryFor(config, context, options, services[0]);
    const outbox = createOrderOutbox(surroundings.database, config.outbox);
    const given = { ...surroundings, inventory, outbox };
    showOutbox(surroundings.ops, outbox);
    const relaying = { ...given, config: config.outbox, location: config.database };
    services.push(hostOrder({ ...given, ...(config.outbox.relay && { relay: createOrderRelay(relaying) }) }));
  }
  for (const { work } of services) {
    work.start();
    options.closers.add(() => work.stop());
  }
  return { services, inventory: config.services.has('inventory') ? undefined : inventory };
}

/** @param elsewhere the inventory, where it is not in this process */
async function goodsReceipts(
  elsewhere: InventoryClient | undefined,
  surroundings: ServiceContext,
  registry: Registry,
  closers: Closers,
): Promise<GoodsReceipts> {
  if (elsewhere) return receiveElsewhere(elsewhere);
  const { database, log } = surroundings;
  const consumer = await createConsumer({ database, observer: createConsumerObserver(registry, log) });
  closers.add(() => consumer.close());
  return receiveHere(consumer, surroundings);
}

/** The inventory that orders ask: elsewhere, where the settings say so, else the one in this process. */
async function inventoryFor(
  { inventory }: Config,
  { outbound }: CallContext,
  options: ListenerOptions,
  hosted: Hosted | undefined,
): Promise<InventoryClient> {
  const inside = inventory || !hosted ? undefined : await listenInternally(hosted, options);
  const client = createInventoryClient({
    address: formatAddress((inside ?? inventory) as Address),
    credentials: inside ? selfCredentials(options.tls) : clientCredentials(options.tls),
    interceptors: [
      outbound,
      ...(inside ? [options.own.outbound] : []),
      createIdempotencyInterceptor({ skip: readMethodsOf(inventoryService) }),
    ],
    signal: executionSignal,
  });
  options.closers.add(async () => client.close());
  return client;
}
