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
   * @throws DatabaseReplacedError when the path of the file, or of its write-ahead log, names another file or no file
   */
  assertInPlace(): void {
    const lost = this.#findLost();
    this.#isReplaced = lost !== undefined;
    if (lost !== undefined) throw replaced(lost);
  }

  /** As `assertInPlace`, but looks only if the last look has failed. Called before each transaction. */
  assertNotLost(): void {
    if (this.#isReplaced) this.assertInPlace();
  }

  /** SQLite writes commits to the write-ahead log first. A process that is killed loses a log without a name. */
  #findLost(): string | undefined {
    if (isOther(this.#path, this.#opened)) return 'the database file';
    // SQLite creates the log after the file was opened.
    this.#log ??= statSync(this.#logPath, { throwIfNoEntry: false });
    return this.#log && isOther(this.#logPath, this.#log) ? 'the write-ahead log of the database' : undefined;
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
