import type { Row, SqlValue } from '../../database/database.js';
import type { DatabaseEngine, Statement } from '../../database/engine.js';
import { migrate } from '../../database/migrate.js';
import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import type { StoreMarks } from '../store.js';

/** The marks are rows of the table of component versions, so that they need no table of their own. */
const componentOf = (mark: string) => `grpc-replay-guard/${mark}`;

/** The component whose steps refuse the claims of earlier versions. */
export const FENCE = componentOf('fence');

/** Returns the statement that finds a mark. It returns a row if the mark is set. */
export function findMark(name: string): Statement {
  return {
    text: 'SELECT version FROM replay_guard_schema WHERE component = $1',
    params: [componentOf(name)],
  };
}

/** The SQL of one engine for the marks. */
export interface MarkSql {
  /**
   * The migration steps that refuse claims of earlier versions. Those claims begin a record in state 0, this version
   * begins it in another state. The steps affect no completion and no renewal of a running execution.
   * @param now the time of the database, in milliseconds since the epoch
   */
  fence(now: bigint): readonly string[];
  /** SQL for the time of the database. */
  readonly now: string;
  /** The tables of records. */
  readonly tables: readonly { readonly name: string; readonly expiryOrder: string }[];
}

/** The marks of a SQL database. */
export class SqlMarks implements StoreMarks {
  readonly #engine: DatabaseEngine;
  readonly #sql: MarkSql;

  constructor(engine: DatabaseEngine, sql: MarkSql) {
    this.#engine = engine;
    this.#sql = sql;
  }

  find(name: string): MaybePromise<number | undefined> {
    return then(this.#engine.run(findMark(name)), ([row]) => (row ? Number(row.version) : undefined));
  }

  async set(name: string, value: number): Promise<number> {
    // A database that can only be read, or a role that may only read, still has the marks of before.
    const known = await this.find(name);
    if (known !== undefined) return known;
    await this.#run(
      `INSERT INTO replay_guard_schema (component, version) VALUES ($1, CAST($2 AS BIGINT))
       ON CONFLICT (component) DO NOTHING`,
      componentOf(name),
      value,
    );
    return (await this.find(name)) ?? value;
  }

  async isEmpty(): Promise<boolean> {
    for (const { name } of this.#sql.tables)
      if ((await this.#run(`SELECT 1 AS found FROM ${name} LIMIT 1`)).length > 0) return false;
    return true;
  }

  async refuseEarlierVersions(): Promise<number> {
    const [clock] = await this.#run(`SELECT ${this.#sql.now} AS now`);
    // The steps contain the time, so their digests are those of the steps for the time 0.
    const steps = this.#sql.fence(BigInt(clock?.now as bigint));
    await migrate(this.#engine, FENCE, steps, { digested: this.#sql.fence(0n) });
    let latest = 0;
    for (const { name, expiryOrder } of this.#sql.tables) {
      // The expiry index finds the row. It stores seconds or minutes, so an expiry may be later by less than one minute.
      const [row] = await this.#run(`SELECT expires_at FROM ${name} ORDER BY ${expiryOrder} DESC LIMIT 1`);
      if (row) latest = Math.max(latest, Number(row.expires_at) + MAX_ROUNDING_MS);
    }
    return latest;
  }

  async #run(text: string, ...params: SqlValue[]): Promise<Row[]> {
    return this.#engine.run({ text, params });
  }
}

const MAX_ROUNDING_MS = 60_000;
