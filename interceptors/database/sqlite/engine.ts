import type { Row } from '../database.js';
import type { DatabaseEngine, Session, Statement } from '../engine.js';
import { type Connection, retryWhileLocked } from './connection.js';
import type { Writer } from './writer.js';

/**
 * The SQLite engine. Units of work run on the writer. Reads outside a unit of work run on the reader and see only
 * committed data.
 */
export class SqliteEngine implements DatabaseEngine {
  readonly name = 'sqlite';
  readonly now = 'replay_guard_now()';
  readonly hasSeparateReader: boolean;
  readonly unitLimitMs: number;
  readonly #connection: Connection;
  readonly #writer: Writer;
  readonly #reader: Connection | undefined;
  readonly #busyTimeoutMs: number;

  /**
   * @param connection the connection of the writer
   * @param reader absent for a database in memory, which has only one connection
   */
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
    this.hasSeparateReader = reader !== undefined;
    this.unitLimitMs = unitLimitMs;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  open(first?: Statement): Promise<{ session: Session; rows: Row[] }> {
    return this.#writer.open(first);
  }

  async run(statement: Statement): Promise<Row[]> {
    const reader = this.#reader;
    if (reader && this.mayOnlyRead(statement.text)) {
      return retryWhileLocked(this.#busyTimeoutMs, () => reader.run(statement));
    }
    const { session, rows } = await this.#writer.open(statement);
    await session.commit();
    return rows;
  }

  mayOnlyRead(text: string): boolean {
    return this.#connection.onlyReads(text);
  }

  read(statement: Statement): Promise<Row[]> {
    return this.run(statement);
  }
}
