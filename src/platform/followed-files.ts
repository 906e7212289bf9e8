import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { ConfigError } from '../config/config.js';
import type { Log } from './log.js';

/** A file that a setting names. */
export interface SettingFile {
  readonly setting: string;
  readonly path: string;
}

/** The use of the contents of some files. */
export interface FileUse<T> {
  /** The files. Their contents are one value: a change of one file renews the value. */
  readonly files: readonly SettingFile[];
  /** Makes the value from the contents, in the order of `files`. @throws Error with the reason if it cannot */
  readonly parse: (...contents: Buffer[]) => T;
  /** Receives each later value. @throws Error with the reason if the value cannot be used */
  readonly renew: (value: T) => void;
}

interface Followed {
  /** The contents in use. */
  contents: readonly Buffer[];
  /** Why the current contents of the files cannot be used. Undefined while they are in use. */
  obstacle: string | undefined;
  readonly files: readonly SettingFile[];
  readonly renew: (contents: readonly Buffer[]) => void;
}

/** The interval at which the files are read again, in milliseconds. */
const CHECK_INTERVAL_MS = 5_000;

/**
 * Follows the files that settings name, so that a renewed file is used without a restart. All files are read again
 * every 5 seconds and at `check`. The contents are compared, because a file may be replaced by a link, by a rename or by
 * a server of files that reports no changes. A file that cannot be used is logged once for each reason, and is tried
 * again at every check. Until then the previous contents stay in use.
 */
export class FollowedFiles {
  readonly #log: Log;
  readonly #intervalMs: number;
  readonly #followed: Followed[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastCheck = Promise.resolve();
  #isStopped = false;

  /** Starts to follow. @param intervalMs the pause between two checks, in milliseconds. Default: 5,000 */
  constructor(log: Log, intervalMs = CHECK_INTERVAL_MS) {
    this.#log = log;
    this.#intervalMs = intervalMs;
    this.#checkLater();
  }

  /**
   * Reads the files now and returns their value. Follows them from then on.
   * @throws ConfigError naming the setting when a file cannot be read or used
   */
  follow<T>({ files, parse, renew }: FileUse<T>): T {
    const [first] = files as readonly [SettingFile];
    const contents = files.map((file) => namingFile(file, () => readFileSync(file.path)));
    const value = namingFile(first, () => parse(...contents));
    this.#followed.push({
      ...{ files, contents, obstacle: undefined },
      renew: (read) => namingFile(first, () => renew(parse(...read))),
    });
    return value;
  }

  /** Reads all files again, after a running check. Resolves when every change is in use or was refused. */
  check(): Promise<void> {
    this.#lastCheck = this.#lastCheck.then(async () => {
      for (const followed of this.#followed) await this.#check(followed);
    });
    return this.#lastCheck;
  }

  /** Ends the checks. A running check may still use what it has read. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** The next check is planned after the end of this one, because a file system may hang. */
  #checkLater(): void {
    if (this.#isStopped) return;
    const check = () => void this.check().then(() => this.#checkLater());
    this.#timer = setTimeout(check, this.#intervalMs).unref();
  }

  async #check(followed: Followed): Promise<void> {
    try {
      const contents = await contentsOf(followed.files);
      if (!isEqual(contents, followed.contents)) {
        // The files are read twice. If the readings differ, a file is being written or replaced, and is read again at
        // the next check.
        if (!isEqual(contents, await contentsOf(followed.files))) return;
        followed.renew(contents);
        followed.contents = contents;
        this.#log.info(
          { settings: followed.files.map(({ setting }) => setting) },
          'a changed file is in use',
        );
      }
      followed.obstacle = undefined;
    } catch (error) {
      const reason = (error as Error).message;
      if (reason === followed.obstacle) return;
      followed.obstacle = reason;
      this.#log.error({ reason }, 'a changed file cannot be used; the previous content stays in use');
    }
  }
}

/** Reads one file after the other, so that a file system that hangs blocks one thread only. */
async function contentsOf(files: readonly SettingFile[]): Promise<Buffer[]> {
  const contents: Buffer[] = [];
  for (const file of files) contents.push(await readFile(file.path).catch((error) => refuse(file, error)));
  return contents;
}

function isEqual(some: readonly Buffer[], others: readonly Buffer[]): boolean {
  return some.every((content, index) => others[index]?.equals(content));
}

/** Runs `use`. @throws ConfigError naming the setting and the path when `use` throws */
export function namingFile<T>(file: SettingFile, use: () => T): T {
  try {
    return use();
  } catch (error) {
    return refuse(file, error as Error);
  }
}

function refuse({ setting, path }: SettingFile, error: Error): never {
  if (error instanceof ConfigError) throw error;
  throw new ConfigError(setting, `${path} cannot be used: ${error.message}`);
}
