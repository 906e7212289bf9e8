import { migrateConsumer } from '../consumer/index.js';
import { migrateOutbox } from '../outbox/index.js';
import { fence as postgresFence } from '../store/postgres/marks.js';
import { schema as postgresSchema } from '../store/postgres/records.js';
import { FENCE } from '../store/sql/marks.js';
import { fence as sqliteFence } from '../store/sqlite/marks.js';
import { schema as sqliteSchema } from '../store/sqlite/records.js';

/** The engine of a database. */
export type EngineName = 'sqlite' | 'postgres';

/** The parts of the library that have tables. */
export const partNames = ['guard', 'outbox', 'consumer'] as const;
/** One of `partNames`. */
export type PartName = (typeof partNames)[number];

/** A part of the library, with the migration steps of its tables. */
export interface Component {
  readonly part: PartName;
  /** The name in the table of component versions. */
  readonly name: string;
  readonly steps: readonly string[];
  /** The texts whose digests are stored. Absent if these are the steps. */
  readonly digested?: readonly string[];
}

/** Resolves to the parts of the library with their steps on an engine. */
export async function componentsOf(engine: EngineName, parts: readonly PartName[]): Promise<Component[]> {
  const found: Component[] = [];
  for (const part of parts) {
    const migrate = async (name: string, steps: readonly string[]) => {
      found.push({ part, name, steps });
    };
    if (part === 'guard') {
      await migrate('grpc-replay-guard', engine === 'sqlite' ? sqliteSchema : postgresSchema);
    } else if (part === 'outbox') await migrateOutbox({ migrate });
    else await migrateConsumer({ migrate });
  }
  return found;
}

/**
 * Returns the component that refuses the claims of earlier versions. A server adds it too, if it may.
 * @param now the time of the database, in milliseconds since the epoch
 */
export function fenceOf(engine: EngineName, now: bigint): Component {
  const fence = engine === 'sqlite' ? sqliteFence : postgresFence;
  return { part: 'guard', name: FENCE, steps: fence(now), digested: fence(0n) };
}

/** The tables, indexes, constraints and triggers of a part, by their names. */
export interface Objects {
  readonly tables: readonly string[];
  readonly indexes: readonly string[];
  /** Constraints on Postgres, triggers on SQLite. */
  readonly rules: readonly string[];
}

const records = ['replay_guard_records', 'replay_guard_producers'];
const outboxIndexes = ['order', 'due', 'waiting', 'dead', 'ended'].map(
  (name) => `replay_guard_outbox_${name}`,
);

/** Returns the objects that the current schema of a part has. */
export function objectsOf(part: PartName, engine: EngineName): Objects {
  if (part === 'outbox') {
    return {
      tables: ['replay_guard_outbox', 'replay_guard_outbox_closed'],
      indexes: outboxIndexes,
      rules: [],
    };
  }
  if (part === 'consumer') {
    return { tables: ['replay_guard_messages'], indexes: ['replay_guard_messages_expiry'], rules: [] };
  }
  // On Postgres the index of the address becomes the primary key.
  const address = engine === 'sqlite' ? 'address' : 'pkey';
  const rule = engine === 'sqlite' ? 'keep_scope' : 'keeps_scope';
  return {
    tables: ['replay_guard_schema', ...records],
    indexes: records.flatMap((table) => [`${table}_${address}`, `${table}_expiry`]),
    rules: records.map((table) => `${table}_${rule}`),
  };
}

/** Returns the privileges that a server needs on a table, in the order of the GRANT. */
export function privilegesOn(table: string): readonly string[] {
  return table === 'replay_guard_schema' ? ['SELECT', 'INSERT'] : ['SELECT', 'INSERT', 'UPDATE', 'DELETE'];
}
