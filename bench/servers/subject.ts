/** The databases that the servers run on. */
export const engines = ['sqlite', 'postgres'] as const;
export type Engine = (typeof engines)[number];

/**
 * Reads the option `--engine`.
 * @throws TypeError when there is no such engine
 */
export function engineOf(name: string): Engine {
  const engine = engines.find((known) => known === name);
  if (engine) return engine;
  throw new TypeError(`--engine must be one of ${engines.join(', ')}, not '${name}'`);
}

/** The kinds of calls that the load makes. A replay is hot if its key repeats, cold if its key comes back once. */
export const works = [
  'ReceiveStock, new key',
  'ReceiveStock, hot replay',
  'ReceiveStock, cold replay',
  'ReceiveStock, half duplicates',
  'PlaceOrder, new key',
] as const;
export type Work = (typeof works)[number];

/** The works and the number of concurrent calls for which there are goals. */
export const goalWorks: readonly Work[] = ['ReceiveStock, new key', 'ReceiveStock, hot replay'];
export const goalConcurrency = 32;

/** The ways to serve the shop that are measured against each other. */
export const kinds = {
  /** Written by hand for the happy path, with keys: the yardstick of the others. */
  yardstick: 'yardstick',
  /** Written by hand without keys. On SQLite every call has its own commit. */
  noKey: 'by hand, no key',
  /** The shop with the guard in mode OFF. On SQLite calls share commits. */
  unguarded: 'unguarded',
  /** The shop with the guard in mode OFF, one commit for each call. SQLite only. */
  unguardedAlone: 'unguarded, a commit each',
  /** The shop with the guard in mode ENFORCE. */
  guarded: 'guarded',
  /** The unguarded shop whose handler looks up, inserts and updates the key itself. */
  handlerDedup: 'dedup in the handler',
  /** The unguarded shop with `@node-idempotency/core` on Redis around the handler. */
  nodeIdempotency: '@node-idempotency',
} as const;
export type Kind = keyof typeof kinds;

/** One server to be measured. */
export interface Subject {
  readonly engine: Engine;
  readonly kind: Kind;
}

const withKeys: readonly Work[] = works.filter((work) => work.startsWith('ReceiveStock'));

const worksOfKind: Readonly<Record<Kind, readonly Work[]>> = {
  yardstick: works,
  noKey: ['ReceiveStock, new key'],
  unguarded: ['ReceiveStock, new key', 'PlaceOrder, new key'],
  unguardedAlone: ['ReceiveStock, new key', 'PlaceOrder, new key'],
  guarded: works,
  handlerDedup: withKeys,
  nodeIdempotency: withKeys,
};

/** Returns the works that a server can do; only servers with keys can replay. */
export function worksOf({ kind }: Subject): readonly Work[] {
  return worksOfKind[kind];
}

/** Every server that is measured. */
export const subjects: readonly Subject[] = engines.flatMap((engine) =>
  (Object.keys(kinds) as Kind[])
    .filter((kind) => engine === 'sqlite' || kind !== 'unguardedAlone')
    .map((kind) => ({ engine, kind })),
);

/** Returns the name of a server for the reports, for example `sqlite, guarded`. */
export function nameOf({ engine, kind }: Subject): string {
  return `${engine}, ${kinds[kind]}`;
}
