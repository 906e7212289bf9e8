import { createReplayGuard, type ReplayGuard, type ScopeContext, stableId } from 'grpc-replay-guard';
import { createConsumer } from 'grpc-replay-guard/consumer';
import { createDatabaseMetrics } from 'grpc-replay-guard/database/prometheus';
import { createServerMetrics } from 'grpc-replay-guard/prometheus';
import type { OpenStore } from 'grpc-replay-guard/store';
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Address } from './config/address.js';
import type { Config } from './config/config.js';
import type { InventoryClient } from './fulfilment/inventory-client.js';
import { followModeFile } from './ops/mode-file.js';
import { createObservers } from './ops/observers.js';
import { listenOps } from './ops/ops.js';
import { describePolicies, logPolicies } from './ops/policy-page.js';
import { Readiness } from './ops/readiness.js';
import { Closers } from './platform/closers.js';
import { openDatabase } from './platform/database.js';
import type { FailureLog } from './platform/failure-log.js';
import { FollowedFiles } from './platform/followed-files.js';
import type { Log } from './platform/log.js';
import { createCallContext } from './server/call-context.js';
import { identityEntry, scopeFor } from './server/identity.js';
import { createInternalCalls } from './server/internal-calls.js';
import { listenPublicly } from './server/listeners.js';
import { readTlsFiles } from './server/tls-files.js';
import { migrateServices, type ServiceContext, startServices } from './services.js';
import { CONSUMER, type GoodsReceipts, receiveLocally, receiveRemotely } from './warehouse/goods-receipts.js';
import { WarehouseWebhook } from './warehouse/warehouse-webhook.js';

/** A running shop. */
export interface Shop {
  /** The address of the public gRPC listener, with the bound port. */
  readonly grpc: Address;
  /** The address of the operators' listener, with the bound port. */
  readonly ops: Address;
  /** Reads the files that settings name again. Resolves when their changes are in use, or were refused. */
  checkFiles(): Promise<void>;
  /** Refuses new calls, waits for running calls within the grace time, then closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts the server by its settings. If the database is unavailable, the start waits for it, and `/readyz` reports
 * the reason.
 * @param signal ends the wait for the database
 * @throws ConfigError when a setting cannot be applied
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
  const followed = new FollowedFiles(log);
  closers.add(async () => followed.stop());
  const tls = readTlsFiles(config.tls, followed);
  const internalCalls = createInternalCalls();
  const isOwnCall = ({ metadata }: ScopeContext) => internalCalls.isOwn(metadata);
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const observers = createObservers(registry, log, config.warehouseSecret ? [CONSUMER] : []);
  const { failures } = observers;
  const scope = scopeFor(config.identity, internalCalls, failures, followed);
  const callContext = createCallContext(identityEntry(config.identity, internalCalls));
  const readiness = new Readiness();
  const ops = await listenOps(config.ops, readiness, registry);
  closers.add(() => ops.close());
  const warehouse = config.warehouseSecret
    ? new WarehouseWebhook(config.warehouseSecret, failures)
    : undefined;
  if (warehouse) ops.receive('/webhooks/warehouse', (request) => warehouse.answer(request));
  const opened = await openStore(config, failures, signal, readiness);
  closers.add(() => opened.close());
  createDatabaseMetrics(registry, opened);
  const calls = createServerMetrics(registry);
  // The call of the caller counts towards the quotas. The calls that this process makes to serve it do not.
  const quotas = { ...config.guard.quotas, exempt: isOwnCall };
  const guard = createReplayGuard({
    ...config.guard,
    quotas,
    store: opened.store,
    scope,
    observer: observers.guard,
  });
  // Waits for the close that the stop has begun. A start that fails has no running calls.
  closers.add(async () => void (await guard.close()));

  const interceptors = [calls.interceptor, callContext.inbound, guard.interceptor];
  const listeners = { tls, interceptors, internalCalls, graceMs: config.shutdownGraceMs, closers };
  const context: ServiceContext = {
    ...{ config, database: opened.database, observers, ops, callContext, listeners },
    clock: { now: Date.now },
    ids: { next: stableId },
    protect: (definition) => calls.count(guard.protect(definition)),
  };
  const { hosted, remoteInventory } = await startServices(context);
  if (warehouse) warehouse.serve(await goodsReceipts(context, remoteInventory));
  if (config.modeFile) followModeFile(config.modeFile, guard, followed, log);
  logPolicies(guard, log);
  logPolling(config, log);
  ops.show('/policies', () => describePolicies(guard));
  const { address, health } = await listenPublicly(hosted, config.grpc, listeners);
  readiness.serve(
    () => opened.ping(),
    (obstacle, error) => {
      health.report(!obstacle);
      if (obstacle) failures.blocked('readiness', error, { reason: obstacle });
      else failures.unblocked('readiness');
    },
  );
  // A stop runs this closer first, because it is added last. It refuses new calls and ends the waits of duplicates.
  closers.add(async () => {
    readiness.block('stopping');
    warehouse?.stop();
    health.stop();
    void closeGuard(guard, config.shutdownGraceMs, log);
  });
  return {
    grpc: address,
    ops: { host: config.ops.host, port: ops.port },
    checkFiles: () => followed.check(),
    stop: () => closers.close(),
  };
}

/** Logs that no connection waits for the events of other servers, because each connection leads through a pooler. */
function logPolling({ database, outbox, services }: Config, log: Log): void {
  if (!outbox.relay || !services.has('order')) return;
  if (database.engine === 'sqlite' || database.listenString) return;
  log.info('events of other servers are found by polling: DATABASE_LISTEN_URL is not set');
}

/** Ends the running calls within the grace time. Logs how many calls were stopped. */
async function closeGuard(guard: ReplayGuard, timeoutMs: number, log: Log): Promise<void> {
  const { stopped, unfinished } = await guard.close({ timeoutMs });
  if (stopped + unfinished > 0)
    log.warn({ stopped, unfinished }, 'calls still ran at the end of the grace time');
}

async function openStore(
  config: Config,
  failures: FailureLog,
  signal: AbortSignal,
  readiness: Readiness,
): Promise<OpenStore> {
  const opened = await openDatabase(config.database, {
    migrate: (database) => migrateServices(database, config.services),
    signal,
    onUnavailable: (error) => {
      failures.blocked('start', error);
      readiness.block('the database is unavailable');
    },
  });
  failures.unblocked('start');
  return opened;
}

async function goodsReceipts(
  context: ServiceContext,
  remoteInventory: InventoryClient | undefined,
): Promise<GoodsReceipts> {
  if (remoteInventory) return receiveRemotely(remoteInventory);
  const { database, observers, listeners } = context;
  const consumer = await createConsumer({ database, observer: observers.consumer });
  listeners.closers.add(() => consumer.close());
  return receiveLocally(consumer, context);
}
