import { realpathSync, type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { DatabaseReplacedError } from '../errors.js';

/** The device and the inode of a file. A rename changes neither. */
type Identity = Pick<Stats, 'dev' | 'ino'>;

/**
 * The file of an open database. A process may delete or replace the file while it is open. SQLite then continues on the
 * old file, and the system deletes the old file when SQLite closes it.
 */
export class DatabaseFile {
  readonly #path: string;
  /** SQLite keeps the log beside the file itself, not beside a symbolic link to the file. */
  readonly #logPath: string;
  readonly #opened: Identity;
  #log: Identity | undefined;
  #isReplaced = false;

  /** @param path the path of a database that has just been opened */
  constructor(path: string) {
    // A relative path would name another file after a change of the working directory.
    this.#path = resolve(path);
    this.#opened = statSync(this.#path);
    this.#logPath = `${realpathSync(this.#path)}-wal`;
  }

  /**
   * Called before each commit. It costs a few microseconds, much less than the commit.
   * @throws DatabaseReplacedError when the path names another file, or no file
   */
  assertInPlace(): void {
    this.#isReplaced = isOther(this.#path, this.#opened);
    if (this.#isReplaced) throw replaced('the database file');
  }

  /** As `assertInPlace`, but checks only if the last check has failed. Called before each transaction. */
  assertNotLost(): void {
    if (this.#isReplaced) this.assertInPlace();
  }

  /** As `assertInPlace`, also for the write-ahead log, which holds the last commits. */
  assertComplete(): void {
    this.assertInPlace();
    this.#log ??= statSync(this.#logPath, { throwIfNoEntry: false });
    if (this.#log && isOther(this.#logPath, this.#log)) throw replaced('the write-ahead log of the database');
  }
}

/** Returns whether the path names another file, or no file. A path that cannot be read proves nothing. */
function isOther(path: string, opened: Identity): boolean {
  try {
    const now = statSync(path, { throwIfNoEntry: false });
    return now === undefined || now.dev !== opened.dev || now.ino !== opened.ino;
  } catch {
    return false;
  }
}

function replaced(what: string): DatabaseReplacedError {
  return new DatabaseReplacedError(
    `${what} was deleted or replaced while it was open; put the file back, or restart the server`,
  );
}
