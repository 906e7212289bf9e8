import { type ReplayGuardOptions, scopeFromMetadata } from 'grpc-replay-guard';
import type { Database } from 'grpc-replay-guard/database';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { OpenStore } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import { type DataSource, freshData } from '../../../helpers/databases/engines.js';
import type { Cleanup } from '../../../helpers/databases/postgres.js';
import { type Ledger, openLedger } from '../../../helpers/servers/guarded-ledger.js';
import type { DeclaredOptions } from '../../../helpers/servers/ledger.js';
import { FaultyStore } from '../../../helpers/stores/faulty-store.js';
import { type Responder, scriptedHandlers } from './handlers.js';
import { Scrape } from './metrics-scrape.js';
import { pathOf, type Setup, type StoreName } from './setup.js';

/** The metadata entry from which the guard reads the scope. Each row has its own caller. */
export const CALLER = 'x-caller';

/** Where the policy of a method is set. */
export type PolicySource = 'in code' | 'in .proto';

/** The part of the current row's run that its servers use. */
export interface CurrentRun {
  /** The number of calls for which a guard has asked for the scope. */
  guardedCalls: number;
  /** Runs the row's script as the handler of a call. */
  execute(account: string, database: Database, responder: Responder): unknown;
}

/** The servers of one setup on one engine: a first server, and a second server if the setup asks for one. */
export interface Servers {
  readonly first: Ledger;
  readonly metrics: Registry;
  /** The scrape before the current row. */
  scrapeBefore: Scrape;
  /** The store of the first server. */
  readonly store: FaultyStore;
  readonly second: Ledger | undefined;
}

/** One engine with one set of data, and the servers that run on this data. */
export class EngineServers {
  readonly storeName: StoreName;
  /** The clock of the memory store and of SQLite. It moves only when a row advances it. */
  readonly clock = { now: Date.now() };
  /** The current row. */
  currentRun: CurrentRun | undefined;
  readonly #cleanup: Cleanup;
  readonly #data: DataSource | undefined;
  readonly #servers: Record<PolicySource, Map<Setup, Promise<Servers>>> = {
    'in code': new Map(),
    'in .proto': new Map(),
  };
  #opened: Promise<OpenStore> | undefined;
  #openedAgain: Promise<OpenStore> | undefined;

  /** Opens new data of an engine. */
  static async open(cleanup: Cleanup, storeName: StoreName): Promise<EngineServers> {
    return new EngineServers(
      cleanup,
      storeName,
      storeName === 'memory' ? undefined : await freshData(cleanup, storeName),
    );
  }

  private constructor(cleanup: Cleanup, storeName: StoreName, data: DataSource | undefined) {
    this.#cleanup = cleanup;
    this.storeName = storeName;
    this.#data = data;
  }

  /** Returns the servers of a setup. Starts them at the first request, and keeps them until all rows have run. */
  servers(setup: Setup, source: PolicySource): Promise<Servers> {
    const started = this.#servers[source].get(setup) ?? this.#start(setup, source);
    this.#servers[source].set(setup, started);
    return started;
  }

  async #start(setup: Setup, source: PolicySource): Promise<Servers> {
    this.#opened ??= this.#open();
    const opened = await this.#opened;
    const metrics = new Registry();
    const store = new FaultyStore(opened.store);
    const guard = { observer: createPrometheusObserver(metrics), ...optionsOf(setup, source) };
    const serve = (on: OpenStore, options: Partial<ReplayGuardOptions>) =>
      this.#serve(on, options, source === 'in code' ? {} : declaredBy(setup));
    const first = await serve({ ...opened, store }, guard);
    // The second server starts now, because its migration needs the one writer of SQLite. A row may hold this writer.
    const second =
      setup.second && (await serve(await this.#openAgain(opened), { ...guard, ...setup.second }));
    return { metrics, scrapeBefore: new Scrape(''), store, first, second };
  }

  #serve(
    opened: OpenStore,
    options: Partial<ReplayGuardOptions>,
    declared: DeclaredOptions,
  ): Promise<Ledger> {
    const scope = options.scope ?? scopeFromMetadata(CALLER);
    const countingScope: typeof scope = (call) => {
      if (this.currentRun) this.currentRun.guardedCalls++;
      return scope(call);
    };
    return openLedger(this.#cleanup, this.#data ?? 'memory', {
      opened,
      declared,
      handlers: (database) =>
        scriptedHandlers((account, responder) => this.currentRun?.execute(account, database, responder)),
      guard: { ...options, scope: countingScope },
    });
  }

  /** The limit is long, because rows hold their handlers. Rows about limits set their own. */
  #open(): Promise<OpenStore> {
    const clock = () => this.clock.now;
    if (!this.#data) return Promise.resolve({ store: new MemoryStore({ clock }) } as unknown as OpenStore);
    const limits = { unitLimitMs: 60_000, maxConnections: 6 };
    return this.#data.open({ ...limits, ...(this.storeName === 'sqlite' && { clock }) });
  }

  /** Opens the data again. Without a database, the second server shares the store itself. */
  #openAgain(opened: OpenStore): Promise<OpenStore> {
    this.#openedAgain ??= this.#data ? this.#open() : Promise.resolve(opened);
    return this.#openedAgain;
  }
}

function optionsOf(
  { guard, policy, methods = ['Append'] }: Setup,
  source: PolicySource,
): Partial<ReplayGuardOptions> {
  if (!policy || source === 'in .proto') return guard ?? {};
  const policies = Object.fromEntries(methods.map((name) => [pathOf(name), policy]));
  return { ...guard, policies };
}

function declaredBy({ declared, methods = ['Append'] }: Setup): DeclaredOptions {
  return declared === undefined ? {} : Object.fromEntries(methods.map((name) => [name, declared]));
}
