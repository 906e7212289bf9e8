import type { Statement } from '../engine.js';
import { DatabaseUnavailableError } from '../errors.js';
import type { Connections } from './pool/connections.js';
import { commit, endCommit } from './session.js';
import { emitMessage } from './standby-sql.js';

/** A commit of a transaction without log would not wait. */
const writeToLog: Statement = { text: `SELECT ${emitMessage} AS position`, params: [] };

/**
 * The synchronous standby of a database. A commit whose wait for the standby has ended early is visible, and after a
 * failover it is lost. The log is replicated in order. So a later commit that the standby has acknowledged proves that
 * the standby has every commit which was visible before.
 */
export class Standby {
  readonly #connections: Connections;
  /** The commit that waits for the standby. */
  #running: Promise<void> | undefined;
  /** The commit that starts when the running one has ended. */
  #next: Promise<void> | undefined;

  constructor(connections: Connections) {
    this.#connections = connections;
  }

  /**
   * Resolves when every commit that is visible now is on the standby. All callers that wait at the same time share one
   * commit.
   * @throws DatabaseUnavailableError when the standby has not acknowledged the commit
   */
  confirm(): Promise<void> {
    if (!this.#running) return this.#start();
    // The running commit may be older than the record that the caller has read.
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = undefined;
    const running = this.#commit();
    this.#running = running;
    const end = () => {
      if (this.#running === running) this.#running = undefined;
    };
    running.then(end, end);
    return running;
  }

  #commit(): Promise<void> {
    return this.#connections.use((connection, resolve, reject) =>
      connection.begin([writeToLog, commit], (end) =>
        endCommit(connection, end, 2, (error) => {
          if (error) reject(unconfirmed(error));
          else resolve();
        }),
      ),
    );
  }
}

function unconfirmed(cause: Error): Error {
  return new DatabaseUnavailableError(
    'the synchronous standby has not confirmed that it has the stored reply',
    { cause },
  );
}
