import { type ReplayGuardOptions, scopeFromMetadata } from 'grpc-replay-guard';
import { MemoryStore } from 'grpc-replay-guard/memory';
import { createPrometheusObserver } from 'grpc-replay-guard/prometheus';
import type { OpenStore } from 'grpc-replay-guard/store';
import { Registry } from 'prom-client';
import { type DataSource, freshData } from '../../../helpers/databases/engines.js';
import type { Cleanup } from '../../../helpers/databases/postgres.js';
import { type Ledger, openLedger } from '../../../helpers/servers/guarded-ledger.js';
import type { DeclaredOptions } from '../../../helpers/servers/ledger.js';
import { FaultyStore } from '../../../helpers/stores/faulty-store.js';
import { handlersBy } from './handlers.js';
import { Scrape } from './metrics-scrape.js';
import type { Place, Setup } from './row.js';
import type { Stage } from './row-run.js';

/** Entry of metadata that tells the callers of rows apart. */
export const CALLER = 'x-caller';

/** How a policy is given to the guard. */
export type Given = 'in code' | 'in .proto';

/** The servers of one setup on one site: one, and where the setup says so a second on the same data. */
export interface Servers {
  readonly first: Ledger;
  readonly metrics: Registry;
  /** The scrape before the row that is played. */
  scraped: Scrape;
  /** What the first server's guard was given. */
  readonly store: FaultyStore;
  readonly second: Ledger | undefined;
}

/** One engine with one set of data, and the servers on it. */
export class Site {
  readonly place: Place;
  /** Where a test can set the clock it stands still but for what a row says. */
  readonly clock = { now: Date.now() };
  /** The row that is played now. */
  playing: Stage | undefined;
  readonly #cleanup: Cleanup;
  readonly #data: DataSource | undefined;
  readonly #servers: Record<Given, Map<Setup, Promise<Servers>>> = {
    'in code': new Map(),
    'in .proto': new Map(),
  };
  #opened: Promise<OpenStore> | undefined;
  #openedAgain: Promise<OpenStore> | undefined;

  static async open(cleanup: Cleanup, place: Place): Promise<Site> {
    return new Site(cleanup, place, place === 'memory' ? undefined : await freshData(cleanup, place));
  }

  private constructor(cleanup: Cleanup, place: Place, data: DataSource | undefined) {
    this.#cleanup = cleanup;
    this.place = place;
    this.#data = data;
  }

  /** Started at the first question, and kept until the site closes. */
  servers(setup: Setup, given: Given): Promise<Servers> {
    const started = this.#servers[given].get(setup) ?? this.#start(setup, given);
    this.#servers[given].set(setup, started);
    return started;
  }

  async #start(setup: Setup, given: Given): Promise<Servers> {
    this.#opened ??= this.#open();
    const opened = await this.#opened;
    const metrics = new Registry();
    const store = new FaultyStore(opened.store);
    const guard = { observer: createPrometheusObserver(metrics), ...optionsOf(setup, given) };
    const serve = (on: OpenStore, options: Partial<ReplayGuardOptions>) =>
      this.#serve(on, options, given === 'in code' ? {} : declaredBy(setup));
    const first = await serve({ ...opened, store }, guard);
    // Not later: SQLite migrates alone, and a row may hold its one writer.
    const second =
      setup.second && (await serve(await this.#openAgain(opened), { ...guard, ...setup.second }));
    return { metrics, scraped: new Scrape(''), store, first, second };
  }

  #serve(
    opened: OpenStore,
    options: Partial<ReplayGuardOptions>,
    declared: DeclaredOptions,
  ): Promise<Ledger> {
    const scope = options.scope ?? scopeFromMetadata(CALLER);
    const arrives: typeof scope = (call) => {
      if (this.playing) this.playing.arrivals++;
      return scope(call);
    };
    return openLedger(this.#cleanup, this.#data ?? 'memory', {
      opened,
      declared,
      handlers: (database) => handlersBy((account, says) => this.playing?.execute(account, database, says)),
      guard: { ...options, scope: arrives },
    });
  }

  /** What holds a handler must not end it: rows that are about limits set their own. */
  #open(): Promise<OpenStore> {
    const clock = () => this.clock.now;
    if (!this.#data) return Promise.resolve({ store: new MemoryStore({ clock }) } as unknown as OpenStore);
    const limits = { unitLimitMs: 60_000, maxConnections: 6 };
    return this.#data.open({ ...limits, ...(this.place === 'sqlite' && { clock }) });
  }

  /** Where there is no database another server can only share the store itself. */
  #openAgain(opened: OpenStore): Promise<OpenStore> {
    this.#openedAgain ??= this.#data ? this.#open() : Promise.resolve(opened);
    return this.#openedAgain;
  }
}

function optionsOf(
  { guard, policy, methods = ['Append'] }: Setup,
  given: Given,
): Partial<ReplayGuardOptions> {
  if (!policy || given === 'in .proto') return guard ?? {};
  const policies = Object.fromEntries(methods.map((name) => [`/test.v1.LedgerService/${name}`, policy]));
  return { ...guard, policies };
}

function declaredBy({ declared, methods = ['Append'] }: Setup): DeclaredOptions {
  return declared === undefined ? {} : Object.fromEntries(methods.map((name) => [name, declared]));
}
