/** A room: a folder or a file with one subject. */
export interface Room {
  /** The path from the root. A file belongs to the room with the longest path that contains it. */
  readonly path: string;
  /** The purpose of the room. */
  readonly purpose: string;
}

/** Rooms of one layer. A room imports from lower layers only, so the rooms of a layer do not import each other. */
export type Layer = readonly Room[];

const room = (path: string, purpose: string): Room => ({ path, purpose });

/** The rooms of the library, the lowest layer first. */
export const libraryLayers: readonly Layer[] = [
  [
    room(
      'interceptors/context',
      'What all copies of the library share: values of the asynchronous context, errors',
    ),
  ],
  [
    room('interceptors/wire', 'The protobuf wire format, read and written without generated code'),
    room('interceptors/logging', 'Log lines without what callers sent: errors, and the lines of grpc-js'),
  ],
  [
    room('interceptors/timing', 'Time-outs, back-off, repeating tasks and clocks'),
    room('interceptors/options', 'Checks of the options that factories take'),
    room('interceptors/protocol', 'The wire contract that server and client share'),
  ],
  [room('interceptors/database', 'The transactional handle: queries, units of work, savepoints, migrations')],
  [
    room('interceptors/database/sqlite', 'The handle on SQLite: one writer, group commit'),
    room('interceptors/database/postgres', 'The handle on Postgres: a pool of pipelined connections'),
  ],
  [
    room(
      'interceptors/store',
      'The port of the stores of keys and replies, and the rules of first-sent times',
    ),
  ],
  [
    room(
      'interceptors/store/producer',
      'Sequences of a producer: which one may be claimed, and the reply window',
    ),
  ],
  [
    room('interceptors/store/index.ts', 'The package entry for authors of stores'),
    room('interceptors/store/sql', 'The statements and the claim that the SQL stores share'),
  ],
  [
    room('interceptors/store/memory', 'The store in the memory of one process'),
    room('interceptors/store/sqlite', 'The store on SQLite'),
    room('interceptors/store/postgres', 'The store on Postgres'),
  ],
  [room('interceptors/execution', 'The ambient execution: stable ids, steps and derived keys')],
  [
    room('interceptors/replay-guard/observer.ts', 'The events that the guard reports'),
    room('interceptors/client', 'The client interceptor and sendUntilKnown'),
    room('interceptors/outbox', 'Events that commit with their cause, and the relay that delivers them'),
    room('interceptors/consumer', 'Processing each message once'),
    room('interceptors/query-builders', 'Kysely, Drizzle, Knex and code for pg, over the database handle'),
  ],
  [
    room('interceptors/replay-guard/policy', 'The settings of each method, and where they are declared'),
    room('interceptors/replay-guard/tracing.ts', 'What follows a call across processes'),
  ],
  [room('interceptors/replay-guard/descriptors', 'Request schemas from the descriptors of the services')],
  [room('interceptors/replay-guard/fingerprint', 'The canonical form of a request and its digest')],
  [room('interceptors/replay-guard/method', 'Guarded methods: definition, policy and schema together')],
  [room('interceptors/replay-guard/refusal', 'The answers of the guard itself')],
  [room('interceptors/replay-guard/reply', 'The stored form of a reply, and its encryption')],
  [room('interceptors/replay-guard/call', 'One intercepted call: its messages, its status, its end')],
  [room('interceptors/replay-guard/server-metrics.ts', 'The metrics of a gRPC server')],
  [
    room(
      'interceptors/replay-guard/prometheus.ts',
      'The metrics of the guard, and the package entry for metrics',
    ),
  ],
  [room('interceptors/replay-guard/scope', 'The caller, from a verified identity')],
  [
    room(
      'interceptors/replay-guard/operation',
      'The operation that a call names, from its metadata and request',
    ),
  ],
  [room('interceptors/replay-guard/store-access', 'The store as the guard uses it: circuit, quotas, pruner')],
  [room('interceptors/replay-guard/lifecycle', 'The life of a guarded call')],
  [room('interceptors/replay-guard', 'The guard and the package entry')],
  [room('interceptors/cli', 'The program grpc-replay-guard: migrate, plans, doctor')],
  [
    room('interceptors/nestjs', 'The guard as a module and a transport of NestJS'),
    room('interceptors/opentelemetry', 'Spans and metrics by the API of OpenTelemetry'),
  ],
  [room('interceptors/log-observer', 'Log lines about the events of guards, relays and consumers')],
  [room('interceptors/logging/index.ts', 'The package entry for logs')],
];

/** The rooms of the shop, the lowest layer first. */
export const shopLayers: readonly Layer[] = [
  [room('src/config', 'Settings from the environment')],
  [room('src/platform', 'The process: log, clock, database, ids')],
  [room('src/rpc', 'Definitions, messages and errors of gRPC')],
  [room('src/order', 'The order service'), room('src/inventory', 'The inventory service')],
  [
    room('src/server', 'The gRPC server: listeners, credentials, health'),
    room('src/ops', 'Pages and metrics for operators'),
  ],
  [room('src/fulfilment', 'Delivery of the events of orders to the inventory')],
  [room('src/warehouse', 'Webhooks to and from the warehouse')],
  [room('src/services.ts', 'The two services with their guard')],
  [room('src/shop.ts', 'The whole shop')],
  [room('src/main.ts', 'The process: settings, signals, exit codes')],
];

/** The trees of the repository, the lowest first. */
export const treeLayers: readonly Layer[] = [
  [room('interceptors', 'The library, without any import of the shop')],
  [room('src', 'The shop')],
  [room('bench', 'Measurements')],
  [room('test', 'The tests of all')],
];

/** Rooms whose files are imported from outside through a package entry only. */
export const closedRooms: readonly string[] = [
  'interceptors/client',
  'interceptors/consumer',
  'interceptors/outbox',
  'interceptors/replay-guard',
];

/** The only file that creates metrics. It is imported by files that users import on demand. */
const sharedMetrics = 'interceptors/options/shared-metrics.ts';

/** Files that import nothing of the library except the listed files. */
export const limitedFiles: Readonly<Record<string, readonly string[]>> = {
  'interceptors/replay-guard/prometheus.ts': [
    'interceptors/replay-guard/observer.ts',
    'interceptors/replay-guard/server-metrics.ts',
    'interceptors/protocol/reasons.ts',
    'interceptors/context/copies.ts',
    'interceptors/options/oldest-executions.ts',
    sharedMetrics,
  ],
  'interceptors/consumer/prometheus.ts': [
    'interceptors/consumer/observer.ts',
    'interceptors/options/known-options.ts',
    sharedMetrics,
  ],
  'interceptors/database/prometheus.ts': ['interceptors/database/load.ts', sharedMetrics],
  'interceptors/outbox/prometheus.ts': ['interceptors/outbox/observer.ts', sharedMetrics],
};

/** Packages that only some rooms or files of the library and the shop import. Most are optional for users. */
export const packageOwners: Readonly<Record<string, readonly string[]>> = {
  '@nestjs/common': ['interceptors/nestjs'],
  '@nestjs/microservices': ['interceptors/nestjs'],
  '@opentelemetry/api': ['interceptors/opentelemetry'],
  'better-sqlite3': ['interceptors/database/sqlite'],
  pg: ['interceptors/database/postgres', 'interceptors/outbox/postgres.ts'],
  'prom-client': [
    sharedMetrics,
    'interceptors/replay-guard/prometheus.ts',
    'interceptors/replay-guard/server-metrics.ts',
    'interceptors/database/prometheus.ts',
    'interceptors/consumer/prometheus.ts',
    'interceptors/outbox/prometheus.ts',
    'src',
  ],
  kysely: ['interceptors/query-builders/kysely.ts'],
  knex: ['interceptors/query-builders/knex.ts', 'interceptors/query-builders/knex-dialects.d.ts'],
  'drizzle-orm': [
    'interceptors/query-builders/drizzle-options.ts',
    'interceptors/query-builders/drizzle-postgres.ts',
    'interceptors/query-builders/drizzle-sqlite.ts',
  ],
  jose: ['interceptors/replay-guard/scope', 'src/config', 'src/server'],
  // It generates code from strings, so a hardened process could not import the library.
  protobufjs: ['src/server'],
  standardwebhooks: ['interceptors/outbox/destination/webhook.ts', 'src/warehouse'],
};

/** The services contain no deduplication code. */
export const serviceRooms: readonly string[] = ['src/order', 'src/inventory'];

/**
 * The folders of generated sources, which the import graph does not read. The last path is relative to a compiled test.
 */
export const generatedFolders: readonly string[] = ['src/gen', 'test/gen', '../test/protos-static'];

/** The maximum number of files in a folder. Files in subfolders do not count. */
export const MAX_FILES_PER_FOLDER = 15;

/** Folders with one subfolder for each engine. The subfolders have the same file names. */
export const engineMatrices: Readonly<Record<string, readonly string[]>> = {
  'interceptors/database': ['sqlite', 'postgres'],
  'interceptors/store': ['memory', 'sqlite', 'postgres'],
};

/** Files that only some engines have, each with the reason. */
export const engineExceptions: Readonly<Record<string, string>> = {
  'interceptors/store/postgres/addressing.ts': 'a store in memory has no tables of an earlier version',
  'interceptors/store/sqlite/addressing.ts': 'a store in memory has no tables of an earlier version',
  'interceptors/database/sqlite/retention-mark.ts':
    'the clock of Postgres is trusted, the clock of a process is not',
  'interceptors/database/sqlite/writer.ts': 'SQLite has one writer, so units of work share a commit',
  'interceptors/database/sqlite/group-transaction.ts': 'the transaction that the units of the writer share',
  'interceptors/database/sqlite/database-file.ts': 'Postgres has no file that this process opens',
  'interceptors/database/postgres/batch.ts': 'Postgres is asked by messages, SQLite by function calls',
  'interceptors/database/postgres/messages.ts': 'Postgres is asked by messages, SQLite by function calls',
  'interceptors/database/postgres/reads.ts': 'SQLite itself says which statements only read',
  'interceptors/database/postgres/session-settings.ts': 'SQLite inherits no settings of a role or a database',
  'interceptors/database/postgres/standby.ts': 'SQLite has no standbys',
  'interceptors/database/postgres/standby-sql.ts': 'SQLite has no standbys',
  'interceptors/database/postgres/tables.ts': 'SQLite has no search path',
  'interceptors/store/memory/claim.ts': 'the SQL stores share the claim in store/sql',
};
