import { migrate } from '../database/migrate.js';
import type { Component } from './components.js';
import type { MigratedDatabase } from './opened.js';

/** The result of `migrate` for one component. */
export interface Migrated {
  readonly component: string;
  readonly from: number;
  readonly to: number;
}

/** Applies the missing steps of each component, and stores missing digests of the steps that were applied before. */
export async function migrateAll(
  { engine }: MigratedDatabase,
  components: readonly Component[],
): Promise<Migrated[]> {
  const done: Migrated[] = [];
  for (const { name, steps, digested = steps } of components) {
    const from = await migrate(engine, name, steps, { addsDigests: true, digested });
    done.push({ component: name, from, to: Math.max(from, steps.length) });
  }
  return done;
}

/** Describes the results, one line for each component. */
export function describeMigrated(done: readonly Migrated[]): string {
  return done
    .map(({ component, from, to }) =>
      from === to ? `${component}: current at step ${to}` : `${component}: from step ${from} to step ${to}`,
    )
    .join('\n');
}
