import type { Row, SqlValue } from '../../database/database.js';
import type { DatabaseEngine } from '../../database/engine.js';
import { scopeDigest } from './statements.js';

/** The statements that are not about one record of a kind, which each engine words itself. */
export interface MaintenanceStatements {
  /** `$1` is the most rows to delete; returns a row for each. */
  readonly purge: string;
  /** Returns one row with a column `records`. */
  readonly estimate: string;
  /** `$1` is a scope's digest, `$2` where to stop counting; returns one row with a column `records`. */
  readonly countLive: string;
  /** `$1` is a scope's digest, `$2` the most records, `$3` what becomes of their fingerprints; a row for each. */
  readonly erase: string;
}

const NO_FINGERPRINT = Buffer.alloc(32);

/** What is done to many records at a time, of one kind after the other. */
export class Maintenance {
  readonly #engine: DatabaseEngine;
  readonly #kinds: readonly MaintenanceStatements[];

  constructor(engine: DatabaseEngine, kinds: readonly MaintenanceStatements[]) {
    this.#engine = engine;
    this.#kinds = kinds;
  }

  purge(limit: number): Promise<number> {
    return this.#upTo(limit, async ({ purge }, left) => (await this.#run(purge, left)).length);
  }

  async estimate(): Promise<number> {
    let total = 0;
    for (const { estimate } of this.#kinds) total += countOf(await this.#run(estimate));
    return total;
  }

  countLive(scope: string, atMost: number): Promise<number> {
    const digest = scopeDigest(scope);
    return this.#upTo(atMost, async ({ countLive }, left) =>
      countOf(await this.#run(countLive, digest, left)),
    );
  }

  erase(scope: string, limit: number): Promise<number> {
    const digest = scopeDigest(scope);
    return this.#upTo(
      limit,
      async ({ erase }, left) => (await this.#run(erase, digest, left, NO_FINGERPRINT)).length,
    );
  }

  /** The sum over the kinds, of which none is asked once the limit is reached. */
  async #upTo(
    limit: number,
    step: (kind: MaintenanceStatements, left: number) => Promise<number>,
  ): Promise<number> {
    let total = 0;
    for (const kind of this.#kinds) if (total < limit) total += await step(kind, limit - total);
    return total;
  }

  #run(text: string, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text, params });
  }
}

function countOf([row]: Row[]): number {
  return Number(row?.records ?? 0);
}
