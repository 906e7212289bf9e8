import type { Pool } from 'pg';
import type { Row } from '../database.js';
import type {
  Attempt,
  AttemptMode,
  DatabaseEngine,
  OpenedSession,
  RetentionTime,
  Session,
  Statement,
  StatementTime,
} from '../engine.js';
import { CommitInDoubtError } from '../errors.js';
import type { DatabaseLoad } from '../load.js';
import type { Connection } from './connection.js';
import {
  type BatchEnd,
  isContention,
  isDivisionByZero,
  isLockTimeout,
  isReadOnlyViolation,
  mayBeCommitted,
  toDatabaseError,
} from './errors.js';
import { Connections } from './pool/connections.js';
import { appearsToRead, checkOf, noteSuspect } from './reads.js';
import type { Failover } from './servers/failover.js';
import { checkSessions, seesPooler } from './servers/pooler.js';
import { commit, endCommit, PostgresSession } from './session.js';
import { ownSession, sharedSession, type TransactionLimits } from './session-settings.js';
import { Standby } from './standby.js';
import { columnsOf, findSchema, findTables, quoted, type SchemaLayout, Tables } from './tables.js';

/**
 * The lock timeout of an attempted statement, in milliseconds. An execution near its end finishes within
 * this time. The duplicates of a longer execution must not occupy connections.
 */
const SHORT_LOCK_WAIT_MS = 25;

const beginReading = control('BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY');
const shortenLockWait = control(`SET LOCAL lock_timeout = ${SHORT_LOCK_WAIT_MS}`);
const rollback = control('ROLLBACK');
const migrationLimits = control(
  "SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '2s', true)",
);
const lockMigrations = control('SELECT pg_advisory_xact_lock(7267136, 1)');

/** How often a transaction is tried again after a conflict with another one, if the guard knows all its statements. */
const MAX_REPETITIONS = 5;

/** The statements that have no effect if they fail. A procedure that CALL runs may commit before it fails. */
const atomic = /^\s*(select|insert|update|delete|merge|with|values|table)\b/i;

/** How the engine uses its pool. */
export interface PostgresEngineOptions {
  /** How long a batch may wait for its answer before its connection is closed, in milliseconds. Default: no limit. */
  readonly answerLimitMs?: number | undefined;
  /**
   * The time-outs that each transaction sets, because a pooler gives each transaction another session. Default: each
   * connection has a session of its own.
   */
  readonly shared?: TransactionLimits;
  /** Chooses the host of each connection of the pool. Default: the pool has one host. */
  readonly failover?: Failover;
  /** Where the tables of the library are, and whether a migration may change them. Default: see `SchemaLayout`. */
  readonly layout?: SchemaLayout;
}

/**
 * The Postgres engine over a pool. A unit of work holds one connection from its start to its end. Each step of a unit
 * is one batch: BEGIN travels with the first statement, the last statement with COMMIT.
 */
export class PostgresEngine implements DatabaseEngine {
  readonly name = 'postgres';
  readonly now = '(extract(epoch from statement_timestamp()) * 1000)::bigint';
  readonly retentionNow = this.now;
  readonly hasSeparateReader = false;
  readonly time: StatementTime = { sql: () => this.now, params: [] };
  readonly retention: RetentionTime = { sql: (now) => now, params: [] };
  readonly unitLimitMs: number;
  readonly mayMigrate: boolean;
  readonly versionColumns: Statement;
  readonly schema: string | undefined;
  readonly #tables: Tables;
  readonly #connections: Connections;
  readonly #standby: Standby;
  readonly #isPooled: boolean;

  constructor(pool: Pool, unitLimitMs: number, options: PostgresEngineOptions = {}) {
    const { answerLimitMs, shared, failover, layout = {} } = options;
    this.mayMigrate = layout.migrate ?? true;
    this.schema = layout.schema;
    this.#tables = new Tables(layout.schema);
    this.versionColumns = columnsOf('replay_guard_schema', layout.schema);
    this.#connections = new Connections(
      pool,
      {
        ...{ tables: this.#tables, answerLimitMs },
        settings: shared ? sharedSession(shared) : ownSession,
        keepsStatements: !shared,
      },
      failover,
    );
    this.#isPooled = shared !== undefined;
    this.#standby = new Standby(this.#connections);
    this.unitLimitMs = unitLimitMs;
  }

  /**
   * Connects once, and checks that the sessions of Postgres are used as the option `pooler` says.
   * @throws PoolerError when the database is behind a pooler and the option is not set
   */
  checkSessions(): Promise<void> {
    return checkSessions(this.#connections, this.#isPooled);
  }

  /** Resolves to whether a pooler answers in place of the server. A pooler tells a process number of its own. */
  seesPooler(): Promise<boolean> {
    return seesPooler(this.#connections);
  }

  load(): DatabaseLoad {
    return { engine: 'postgres', ...this.#connections.load() };
  }

  onWait(listener: (seconds: number) => void): void {
    this.#connections.waits.add(listener);
  }

  open(first?: Statement): Promise<OpenedSession> {
    return this.#open(first ? [first] : [], true);
  }

  /** Servers that start at the same time migrate one after another. Creates a missing schema of the option `schema`. */
  async openMigration(): Promise<OpenedSession> {
    const opened = await this.#open([migrationLimits, lockMigrations], false);
    if (this.schema === undefined) return opened;
    const { session } = opened;
    try {
      const found = await session.query({ text: findSchema, params: [this.schema] });
      if (found.length === 0) await session.query(control(`CREATE SCHEMA ${quoted(this.schema)}`));
      return opened;
    } catch (error) {
      await session.rollback();
      throw error;
    }
  }

  async locateTables(migration?: Session): Promise<void> {
    if (this.schema !== undefined) return;
    this.#tables.note(await (migration ? migration.query(findTables) : this.run(findTables)));
  }

  #open(statements: readonly Statement[], hasLimit: boolean): Promise<OpenedSession> {
    return this.#connections.use((connection, resolve, reject) => {
      if (!hasLimit) connection.waitWithoutLimit();
      begin(connection, statements, (end) => {
        if (end.error) connection.rollBack(() => reject(toDatabaseError(end)));
        else resolve({ session: new PostgresSession(connection), rows: end.results[1] ?? [] });
      });
    });
  }

  run(statement: Statement): Promise<Row[]> {
    return this.#connections.use((connection, resolve, reject) => {
      const done = (end: BatchEnd) => {
        const isInDoubt = connection.takeUnconfirmedCommit() || (end.error && mayBeCommitted(end, 0));
        connection.release(isInDoubt);
        if (isInDoubt && !appearsToRead(statement.text)) reject(inDoubt(end));
        else if (end.error) reject(toDatabaseError(end));
        else resolve(end.results[0] as Row[]);
      };
      let repetitions = 0;
      const repeatOrEnd = (end: BatchEnd) => {
        if (isContention(end) && repetitions++ < MAX_REPETITIONS) {
          connection.sendRepeatable([statement], repeatOrEnd, 0);
        } else done(end);
      };
      // The statements of a batch are one transaction. Some of the other statements refuse to be part of a batch.
      if (atomic.test(statement.text)) connection.sendRepeatable([statement], repeatOrEnd, 0);
      else connection.send([statement], done);
    });
  }

  attempt(first: Statement, instead: Statement, mode: AttemptMode): Promise<Attempt> {
    return this.#connections.use((connection, resolve, reject) => {
      const runInstead = (statements: readonly Statement[], isLocked: boolean, settingsAt?: number) =>
        connection.sendRepeatable(
          statements,
          (end) => {
            connection.release(end.error !== undefined);
            const found = end.results[statements.indexOf(instead)];
            if (found) resolve({ instead: found, isLocked });
            else reject(toDatabaseError(end));
          },
          settingsAt,
        );
      const last = mode === 'alone' ? [commit] : [];
      begin(connection, [shortenLockWait, first, ...last], (end) => {
        const rows = end.results[2] ?? [];
        if (isLockTimeout(end)) runInstead([rollback, instead], true, 1);
        else if (!end.error && rows.length === 0) {
          if (mode === 'alone') runInstead([instead], false, 0);
          else runInstead([instead, rollback], false);
        } else if (mode === 'alone') {
          endCommit(connection, end, 3, (error) => (error ? reject(error) : resolve({ rows })));
        } else if (end.error) connection.rollBack(() => reject(toDatabaseError(end)));
        else resolve({ rows, session: new PostgresSession(connection, true) });
      });
    });
  }

  confirmOnStandby(): Promise<void> {
    return this.#standby.confirm();
  }

  mayOnlyRead(text: string): boolean {
    return appearsToRead(text);
  }

  /**
   * Runs the statement in a transaction that cannot write and that is rolled back. The check before the statement fails
   * if the statement may run code of the application. Then the statement is not executed.
   */
  read(statement: Statement): Promise<Row[] | undefined> {
    const batch = [beginReading, checkOf(statement.text), statement, rollback];
    return this.#connections.use((connection, resolve, reject) =>
      connection.sendRepeatable(
        batch,
        (end) => {
          const isSuspect = isDivisionByZero(end) && end.results.length === batch.indexOf(statement) - 1;
          if (isSuspect) noteSuspect(statement.text);
          if (!end.error) {
            connection.release();
            resolve(end.results[2]);
          } else if (isSuspect || isReadOnlyViolation(end)) connection.rollBack(() => resolve(undefined));
          else connection.rollBack(() => reject(toDatabaseError(end)));
        },
        1,
      ),
    );
  }
}

/** Begins a transaction with all its statements, or with its first ones. After a conflict they are sent again. */
function begin(
  connection: Connection,
  statements: readonly Statement[],
  done: (end: BatchEnd) => void,
): void {
  let repetitions = 0;
  const repeatOrEnd = (end: BatchEnd) => {
    if (!isContention(end) || repetitions++ >= MAX_REPETITIONS) return done(end);
    connection.send([rollback], ({ error }) => {
      if (error) done(end);
      else connection.begin(statements, repeatOrEnd);
    });
  };
  connection.begin(statements, repeatOrEnd);
}

function inDoubt({ error }: BatchEnd): Error {
  return new CommitInDoubtError('the statement was sent and its answer was lost', { cause: error });
}

function control(text: string): Statement {
  return { text, params: [] };
}
