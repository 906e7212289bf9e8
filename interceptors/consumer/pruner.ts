import type { Database, Dialect, SqlColumn } from '../database/database.js';
import { LockTimeoutError } from '../database/errors.js';
import type { Clock } from '../timing/clock.js';
import { type Batch, PacedBatches } from '../timing/paced-batches.js';
import { RepeatingTask } from '../timing/repeating-task.js';
import type { ConsumerObserver } from './observer.js';
import { timeOf } from './time.js';

const INTERVAL_MS = 60_000;
/** The position before every expiry. */
const BEGINNING = -(2n ** 63n);

/** The SQL of one engine. The functions take SQL for the time. */
interface PurgeSql {
  /** Selects at most `$2` messages that have expired, from the position `$1`. Returns `ref` and `position`. */
  select(time: string): string;
  /** Deletes the expired messages of the list `$1`. Returns one row per deleted message. */
  remove(time: string): string;
  /** Makes the list of the references that `select` returned. */
  list(refs: readonly SqlColumn[]): string;
}

/** SQLite may give a rowid to another row after a VACUUM, so the deletion repeats the condition of the selection. */
function purgeSql({ name }: Dialect): PurgeSql {
  const isPostgres = name === 'postgres';
  return {
    select: (time) => `
      SELECT ${isPostgres ? `encode(id, 'hex')` : 'rowid'} AS ref, expires_at AS position FROM replay_guard_messages
      WHERE expires_at <= ${time} AND expires_at >= $1 ORDER BY expires_at LIMIT $2`,
    remove: (time) => `
      DELETE FROM replay_guard_messages
      WHERE ${isPostgres ? 'id = ANY (CAST($1 AS BYTEA[]))' : 'rowid IN (SELECT value FROM json_each($1))'}
        AND expires_at <= ${time} RETURNING expires_at`,
    list: isPostgres
      ? (refs) => `{${refs.map((ref) => `"\\\\x${ref}"`).join()}}`
      : (refs) => `[${refs.join()}]`,
  };
}

/**
 * Deletes expired messages every minute, in batches that leave time for deliveries. Several servers may prune at the same
 * time: each row is deleted once. The pruner does not keep the process alive.
 */
export class MessagePruner {
  readonly #database: Database;
  readonly #observer: ConsumerObserver;
  readonly #clock: Clock | undefined;
  readonly #sql: PurgeSql;
  /** Postgres locks single rows, and serves other connections while it purges. */
  readonly #blocksCalls: boolean;
  readonly #batches = new PacedBatches();
  readonly #stopped = new AbortController();
  readonly #task: RepeatingTask;

  constructor(database: Database, observer: ConsumerObserver, clock: Clock | undefined) {
    this.#database = database;
    this.#observer = observer;
    this.#clock = clock;
    this.#sql = purgeSql(database.dialect);
    this.#blocksCalls = database.dialect.name === 'sqlite';
    this.#task = new RepeatingTask({
      run: () => this.#batches.run((size, after?: bigint) => this.#purge(size, after), this.#stopped.signal),
      intervalMs: INTERVAL_MS,
      onError: (error) => observer.purgeFailed(error),
      keepsProcessAlive: false,
    });
  }

  /** Starts the purges. The first purge begins after one interval. */
  start(): void {
    this.#task.start('after-interval');
  }

  /** Resolves when the current batch has ended. No other batch starts. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#task.stop();
  }

  async #purge(size: number, after = BEGINNING): Promise<Batch<bigint>> {
    const { select, list } = this.#sql;
    const time = timeOf(this.#database.dialect.retentionNow, this.#clock, 3);
    const start = performance.now();
    const params = [after, size, ...time.params];
    const rows = await this.#database.query<{ ref: SqlColumn; position: bigint }>(select(time.sql), params);
    const selectMs = performance.now() - start;
    const refs = rows.map(({ ref }) => ref);
    const removed = refs.length === 0 ? noneRemoved : await this.#remove(list(refs));
    this.#observer.messagesPurged(removed.count);
    const last = rows.at(-1);
    return {
      busyMs: selectMs + removed.busyMs,
      blocksCalls: this.#blocksCalls,
      // If another server is deleting the same messages, this run leaves the rest to that server.
      ...(rows.length === size && last && !removed.isLocked && { next: last.position }),
    };
  }

  /** A transaction, so that the measured time contains neither the queue of the writer nor the commit. */
  async #remove(list: string): Promise<Removed> {
    const time = timeOf(this.#database.dialect.retentionNow, this.#clock, 2);
    const text = this.#sql.remove(time.sql);
    const start = performance.now();
    try {
      return await this.#database.transaction(async () => {
        const begun = performance.now();
        const { length } = await this.#database.query(text, [list, ...time.params]);
        return { count: length, busyMs: performance.now() - begun };
      });
    } catch (error) {
      if (this.#blocksCalls || !(error instanceof LockTimeoutError)) throw error;
      return { count: 0, busyMs: performance.now() - start, isLocked: true };
    }
  }
}

interface Removed {
  readonly count: number;
  readonly busyMs: number;
  readonly isLocked?: boolean;
}

const noneRemoved: Removed = { count: 0, busyMs: 0 };
