import type { DatabaseEngine } from '../../database/engine.js';
import { CommitInDoubtError, DatabaseUnavailableError } from '../../database/errors.js';
import { type MaybePromise, then } from '../../timing/maybe-promise.js';
import type { StoredAddress } from './address.js';
import { currentState } from './statements.js';

/**
 * The records of one table that were erased by version 0.1. That version deleted the scope of an erased record, so the
 * record is not at its address. Before an operation reads or claims a record, `restore` returns it to its address: only
 * a caller of the right scope knows the id, which is a digest over the scope.
 *
 * The schema refuses further deletions of a scope. After the last of these records has expired and was purged,
 * `restore` sends no statement.
 */
export class ScopelessRecords {
  readonly #engine: DatabaseEngine;
  readonly #find: string;
  readonly #restore: string;
  #remain = false;

  constructor(engine: DatabaseEngine, table: string) {
    this.#engine = engine;
    this.#find = `
      SELECT (SELECT count(*) FROM ${table} WHERE scope = 0 AND id = $1) AS found,
        (SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE scope = 0 LIMIT 1) AS any_record) AS remaining`;
    // A record at the address is newer than an expired record without a scope.
    this.#restore = `
      UPDATE ${table} SET scope = $1, ${currentState} WHERE scope = 0 AND id = $2
        AND NOT EXISTS (SELECT 1 FROM ${table} WHERE scope = $1 AND id = $2)`;
  }

  /** Finds out whether the table has records without a scope. Called once, after the migration. */
  async count(): Promise<void> {
    await this.#isWithoutScope(Buffer.alloc(16));
  }

  /**
   * Restores the scope of the record that belongs at an address, if the record has none. Returns undefined at once if the
   * table has no record without a scope.
   * @throws DatabaseUnavailableError also when the answer to the change was lost; a retry finds the record
   */
  restore(address: StoredAddress): MaybePromise<void> {
    return this.#remain ? this.#restoreAt(address) : undefined;
  }

  async #restoreAt([scope, id]: StoredAddress): Promise<void> {
    if (!(await this.#isWithoutScope(id))) return;
    try {
      await this.#engine.run({ text: this.#restore, params: [scope, id] });
    } catch (error) {
      if (!(error instanceof CommitInDoubtError)) throw error;
      throw new DatabaseUnavailableError('the answer to the change of a record was lost', { cause: error });
    }
  }

  /** Whether the record of an id has no scope. Also counts the records without a scope. */
  #isWithoutScope(id: Buffer): MaybePromise<boolean> {
    return then(this.#engine.run({ text: this.#find, params: [id] }), ([row]) => {
      this.#remain = row?.remaining !== 0n;
      return row?.found !== 0n;
    });
  }
}
