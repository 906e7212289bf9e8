import type { Row } from '../database.js';
import type { DatabaseEngine, Session, Statement } from '../engine.js';
import { retryWhileLocked } from './busy.js';
import type { Connection } from './connection.js';
import type { Writer } from './writer.js';

/** SQLite: units of work on the one writer, everything else on a reader that sees committed data only. */
export class SqliteEngine implements DatabaseEngine {
  readonly name = 'sqlite';
  readonly now = 'replay_guard_now()';
  readonly readsAreCheap: boolean;
  readonly unitLimitMs: number;
  readonly #connection: Connection;
  readonly #writer: Writer;
  readonly #reader: Connection | undefined;
  readonly #busyTimeoutMs: number;

  /** @param reader absent for a database in memory, which has but one connection */
  constructor(
    connection: Connection,
    writer: Writer,
    reader: Connection | undefined,
    unitLimitMs: number,
    busyTimeoutMs: number,
  ) {
    this.#connection = connection;
    this.#writer = writer;
    this.#reader = reader;
    this.readsAreCheap = reader !== undefined;
    this.unitLimitMs = unitLimitMs;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  open(first?: Statement): Promise<{ session: Session; rows: Row[] }> {
    return this.#writer.open(first);
  }

  async run(statement: Statement): Promise<Row[]> {
    if (this.#reader && this.mayOnlyRead(statement.text)) return this.#read(this.#reader, statement);
    const { session, rows } = await this.#writer.open(statement);
    await session.commit();
    return rows;
  }

  mayOnlyRead(text: string): boolean {
    return this.#connection.reads(text);
  }

  read(statement: Statement): Promise<Row[]> {
    return this.run(statement);
  }

  #read(reader: Connection, statement: Statement): Promise<Row[]> {
    return retryWhileLocked(this.#busyTimeoutMs, () => reader.run(statement));
  }
}
