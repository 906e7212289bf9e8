import type { Row } from '../database.js';
import type { Session, Statement } from '../engine.js';
import { CommitInDoubtError, UnitOfWorkError } from '../errors.js';
import type { Connection } from './connection.js';
import { type BatchEnd, isConnectionFailure, mayBeCommitted, toDatabaseError } from './errors.js';

const control = /^(SAVEPOINT|RELEASE|ROLLBACK)\b/;

/** Ends the transaction. The command tag of the answer is ROLLBACK if a statement of the transaction has failed. */
export const commit: Statement = { text: 'COMMIT', params: [] };

/** A transaction on a connection of the pool. The connection returns to the pool only in a clean state. */
export class PostgresSession implements Session {
  readonly #connection: Connection;
  #hasShortLockWait: boolean;
  #hasEnded = false;

  /**
   * @param connection a connection whose transaction is open
   * @param hasShortLockWait whether the lock timeout of the pool must be restored before the next statement
   */
  constructor(connection: Connection, hasShortLockWait = false) {
    this.#connection = connection;
    this.#hasShortLockWait = hasShortLockWait;
  }

  query(statement: Statement): Promise<Row[]> {
    if (this.#hasEnded) throw alreadyEnded();
    const statements = this.#toSend(statement);
    return new Promise((resolve, reject) => {
      this.#connection.send(statements, (end) => {
        // pg drops a batch that waits longer than `query_timeout`, and would send the batches behind it.
        if (isConnectionFailure(end)) this.#connection.close();
        if (end.error) reject(toDatabaseError(end));
        else resolve(end.results.at(-1) as Row[]);
      });
    });
  }

  commit(last?: Statement): Promise<Row[]> {
    if (this.#hasEnded) return Promise.reject(alreadyEnded());
    this.#hasEnded = true;
    const statements = last ? [last, commit] : [commit];
    return new Promise((resolve, reject) => {
      this.#connection.send(statements, (end) =>
        endCommit(this.#connection, end, statements.length - 1, (error) => {
          if (error) reject(error);
          else resolve(last ? (end.results[0] as Row[]) : []);
        }),
      );
    });
  }

  rollback(): Promise<void> | undefined {
    if (this.#hasEnded) return undefined;
    this.#hasEnded = true;
    return new Promise((resolve) => this.#connection.rollBack(resolve));
  }

  /** Returns the statements to send. The first ones also restore the lock timeout of the pool. */
  #toSend(statement: Statement): Statement[] {
    const statements = control.test(statement.text) ? controlsOf(statement.text) : [statement];
    if (!this.#hasShortLockWait) return statements;
    this.#hasShortLockWait = false;
    return [this.#connection.restoreLockWait, ...statements];
  }
}

/**
 * Returns the connection to the pool after a batch that commits.
 * @param commitAt the position of COMMIT in the batch
 * @param done receives the error of a batch that is not known to be committed
 */
export function endCommit(
  connection: Connection,
  end: BatchEnd,
  commitAt: number,
  done: (error?: Error) => void,
): void {
  const { error, command } = end;
  if (connection.takeUnconfirmedCommit()) {
    connection.release(true);
    done(new CommitInDoubtError('the commit did not wait for the synchronous standby', { cause: error }));
  } else if (!error) {
    connection.release();
    // After a failed statement COMMIT succeeds, but Postgres rolls back and reports ROLLBACK.
    done(command === 'COMMIT' ? undefined : new UnitOfWorkError('the transaction was rolled back'));
  } else if (mayBeCommitted(end, commitAt)) {
    connection.release(true);
    done(new CommitInDoubtError('the commit was sent and its answer was lost', { cause: error }));
  } else {
    connection.rollBack(() => done(toDatabaseError(end)));
  }
}

/** One text may release a savepoint and set the next one. A prepared statement has one of them. */
function controlsOf(text: string): Statement[] {
  return text.split('; ').map((part) => ({ text: part, params: [] }));
}

function alreadyEnded(): Error {
  return new UnitOfWorkError('this unit of work has already ended');
}
