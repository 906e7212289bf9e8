import { randomUUID } from 'node:crypto';
import type {
  ServerCredentials,
  ServerInterceptor,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import {
  createReplayGuard,
  type ReplayGuard,
  type ReplayGuardOptions,
  singleTenant,
} from 'grpc-replay-guard';
import type { Database } from 'grpc-replay-guard/database';
import { createMemoryStore } from 'grpc-replay-guard/memory';
import type { IdempotencyStore, OpenStore } from 'grpc-replay-guard/store';
import type { CallSettings, Connection, Reply } from '../calls/call.js';
import { type DataSource, type Engine, freshData } from '../databases/engines.js';
import type { EngineOptions } from '../databases/open-url.js';
import type { Cleanup } from '../databases/postgres.js';
import {
  type Account,
  type AccountRequest,
  type AppendRequest,
  type AppendResponse,
  type DeclaredOptions,
  type LedgerDefinition,
  loadLedger,
} from './ledger.js';
import { RecordingObserver } from './recording-observer.js';
import { startServer, type TestServer } from './server.js';

/** A handler of a unary method. It may be asynchronous. */
export type Handler<Q, R> = (call: ServerUnaryCall<Q, R>, callback: sendUnaryData<R>) => unknown;

/** A handler of a server-streaming method. It may be asynchronous. */
export type StreamHandler<Q, R> = (call: ServerWritableStream<Q, R>) => unknown;

/** The request of Transfer. */
export interface TransferRequest {
  from?: string;
  to?: string;
  amountMinor?: string | number;
}

/** The handlers of all ledger methods. */
export interface LedgerHandlers {
  readonly Append: Handler<AppendRequest, AppendResponse>;
  readonly Transfer: Handler<TransferRequest, { transferId?: string }>;
  readonly Touch: Handler<Account, object>;
  readonly Read: Handler<Account, { balanceMinor?: string | number }>;
  readonly Close: Handler<Account, { closed?: boolean }>;
  readonly Settle: StreamHandler<AccountRequest, { entryId?: string }>;
  readonly Sweep: StreamHandler<AccountRequest, { entryId?: string }>;
}

/** The options of `openLedger`. */
export interface LedgerSetup {
  /** Makes handlers for the database. A missing handler writes one effect and returns a random id. */
  readonly handlers?: (database: Database) => Partial<LedgerHandlers>;
  readonly guard?: Partial<ReplayGuardOptions>;
  readonly engine?: EngineOptions;
  readonly version?: 'now' | 'next';
  /** Method options that replace the options in ledger.proto. */
  readonly declared?: DeclaredOptions;
  /** Interceptors between the wire and the guard. */
  readonly before?: ServerInterceptor[];
  /** Interceptors between the guard and the handlers. */
  readonly after?: ServerInterceptor[];
  /** Default: plaintext. */
  readonly credentials?: ServerCredentials;
  /** A store and database that the test opened. Default: opened from the source. */
  readonly opened?: OpenStore;
}

/** A guarded ledger service on a loopback socket, with its parts and a connected client. */
export interface Ledger {
  readonly definition: LedgerDefinition;
  readonly database: Database;
  readonly store: IdempotencyStore;
  readonly guard: ReplayGuard;
  readonly server: TestServer;
  readonly connection: Connection;
  readonly outcomes: RecordingObserver;
  /** How often the server has entered a handler. */
  entered: number;
  /** Calls Append, whose atomicity is TRANSACTION. */
  append(key?: string, request?: AppendRequest, settings?: CallSettings): Promise<Reply<AppendResponse>>;
  /** Calls Transfer, whose atomicity is LEASE. */
  transfer(
    key?: string,
    request?: TransferRequest,
    settings?: CallSettings,
  ): Promise<Reply<{ transferId?: string }>>;
  /** Calls Append or Transfer for an account. */
  ask(
    method: LedgerMethod,
    key: string | undefined,
    account?: string,
    settings?: CallSettings,
  ): Promise<Reply<AppendResponse & { transferId?: string }>>;
  /** Returns the accounts of all committed effects, sorted. */
  effects(): Promise<string[]>;
}

/** One ledger method for each atomicity: `append` for TRANSACTION, `transfer` for LEASE. */
export const methods = ['append', 'transfer'] as const;
/** The method that `Ledger.ask` calls. */
export type LedgerMethod = (typeof methods)[number];

/** Returns the same handler for Append and Transfer. The handler gets the account of the request. */
export function onBoth(
  handler: (
    account: string,
    callback: sendUnaryData<AppendResponse & { transferId?: string }>,
    call: ServerUnaryCall<AppendRequest & TransferRequest, object>,
  ) => unknown,
): Pick<LedgerHandlers, 'Append' | 'Transfer'> {
  const both: Handler<AppendRequest & TransferRequest, object> = (call, callback) =>
    handler(call.request.account ?? call.request.from ?? '', callback, call);
  return { Append: both as LedgerHandlers['Append'], Transfer: both as LedgerHandlers['Transfer'] };
}

/** Starts a guarded ledger on new data of an engine, or as another server on an existing data source. */
export async function openLedger(
  t: Cleanup,
  source: Engine | 'memory' | DataSource,
  setup: LedgerSetup = {},
): Promise<Ledger> {
  const opened = setup.opened ?? (await openSource(t, source, setup.engine));
  const { database, store } = opened;
  if (source !== 'memory') await database.migrate('ledger', [effectsTable]);
  const outcomes = new RecordingObserver();
  const guard = createReplayGuard({ store, scope: singleTenant(), observer: outcomes, ...setup.guard });
  t.teardown(async () => void (await guard.close()));
  const definition = loadLedger(setup.version, setup.declared);
  const handlers = {
    ...defaultHandlers(source === 'memory' ? undefined : database),
    ...setup.handlers?.(database),
  };
  const counted = Object.entries(handlers).map(([name, handler]) => [
    name,
    (...args: Parameters<typeof handler>) => {
      ledger.entered++;
      return (handler as (...args: unknown[]) => unknown)(...args);
    },
  ]);
  const implementation = Object.fromEntries(counted) as UntypedServiceImplementation;
  const server = await startServer(t, {
    interceptors: [...(setup.before ?? []), guard.interceptor, ...(setup.after ?? [])],
    services: [[guard.protect(definition), implementation]],
    ...(setup.credentials && { credentials: setup.credentials }),
  });
  const connection = server.connect();
  const ledger: Ledger = {
    ...{ definition, database, store, guard, server, connection, outcomes, entered: 0 },
    append: (key, request = {}, settings = {}) =>
      connection.call(definition.Append, request, withKey(settings, key)),
    transfer: (key, request = {}, settings = {}) =>
      connection.call(definition.Transfer, request, withKey(settings, key)),
    ask: (method, key, account = '', settings = {}) =>
      method === 'append'
        ? ledger.append(key, { account }, settings)
        : ledger.transfer(key, { from: account }, settings),
    effects: async () => {
      const rows = await database.query('SELECT account FROM effects ORDER BY account');
      return rows.map(({ account }) => String(account));
    },
  };
  return ledger;
}

const effectsTable = 'CREATE TABLE effects (account TEXT NOT NULL, amount BIGINT NOT NULL)';

/** Writes the one row that counts as the effect of an execution. The table has no unique constraint. */
export async function writeEffect(database: Database, account = '', amount: string | number = 1) {
  await database.query('INSERT INTO effects (account, amount) VALUES ($1, $2)', [account, Number(amount)]);
}

function defaultHandlers(database: Database | undefined): LedgerHandlers {
  const effect = async (account?: string, amount?: string | number) => {
    await database?.transaction(() => writeEffect(database, account, amount));
  };
  const stream: LedgerHandlers['Settle'] = async (call) => {
    await effect(call.request.account, call.request.amountMinor);
    call.write({ entryId: randomUUID() });
    call.end();
  };
  return {
    Append: async ({ request }, callback) => {
      await effect(request.account, request.amountMinor);
      callback(null, { entryId: randomUUID(), balanceMinor: request.amountMinor ?? 0 });
    },
    Transfer: async ({ request }, callback) => {
      await effect(request.from, request.amountMinor);
      callback(null, { transferId: randomUUID() });
    },
    Touch: async ({ request }, callback) => {
      await effect(request.account);
      callback(null, {});
    },
    Read: (_call, callback) => callback(null, { balanceMinor: 0 }),
    Close: async ({ request }, callback) => {
      await effect(request.account);
      callback(null, { closed: true });
    },
    Settle: (call) => stream(call),
    Sweep: (call) => stream(call),
  };
}

async function openSource(t: Cleanup, source: Engine | 'memory' | DataSource, engine: EngineOptions = {}) {
  if (source === 'memory')
    return { store: createMemoryStore(engine.clock && { clock: engine.clock }) } as unknown as OpenStore;
  const data = typeof source === 'string' ? await freshData(t, source) : source;
  return data.open({ maxConnections: 6, ...engine });
}

const withKey = (settings: CallSettings, key?: string): CallSettings => ({
  ...settings,
  ...(key !== undefined && { key }),
});
