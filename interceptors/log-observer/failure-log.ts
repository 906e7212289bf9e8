import { findCause, isCommitInDoubt, isContention, isOutage } from '../database/error-kinds.js';
import { describeError } from '../logging/describe-error.js';
import { kindOf, PacedLines } from '../logging/paced-lines.js';
import { neverThrowing, warnOnce } from '../logging/warn-once.js';
import { assertKnownOptions } from '../options/known-options.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../options/whole-number.js';

/** Writes one line: fields, then a text, as pino does. `console` has such functions, too. */
export type WriteLine = (fields: Readonly<Record<string, unknown>>, text: string) => void;

/** A logger of pino, or any object with these four methods. */
export interface LineLogger {
  readonly debug: WriteLine;
  readonly info: WriteLine;
  readonly warn: WriteLine;
  readonly error: WriteLine;
}

/** A level of `LineLogger`. */
export type Severity = keyof LineLogger;

const levels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly Severity[];

/** The options of `FailureLog` and of `createLogObserver`. */
export interface LogOptions {
  /** Receives the lines. The first error of each of its methods becomes a process warning. */
  readonly logger: LineLogger;
  /**
   * The minimum interval between two lines about one kind of event, in milliseconds, from 1 to 2^31 - 1. The next line
   * states how many were suppressed. Default: 60,000.
   */
  readonly intervalMs?: number;
}

/** A failure of one part of the process. */
export interface Failure {
  /** The part, such as `relay`. Its later success is reported under the same name. */
  readonly part: string;
  readonly error: unknown;
  /** The text of the line, unless the failure shows that the database is unavailable. */
  readonly text: string;
  /** Further fields of the line. They must not contain data of callers. */
  readonly fields?: Readonly<Record<string, string | number>>;
  /** Separates failures with the same part and text, for example by method. It must have few values. Default: '' */
  readonly about?: string;
  /** Default: `error`. */
  readonly level?: Severity;
}

/**
 * How long failures are only counted after the database has become available, in milliseconds. Statements that were sent
 * before may still fail.
 */
const SETTLING_MS = 10_000;

/**
 * How long no part may fail after a part has worked, before the database counts as available, in milliseconds. While a server
 * ends or begins, some of its connections work and others fail.
 */
const QUIET_MS = 1_000;

/**
 * Logs the failures of the parts of one process. While the database is unavailable, every part fails repeatedly. All
 * parts share one line when the outage begins, and one when it ends. Other failures have one line for each kind and
 * interval.
 */
export class FailureLog {
  readonly #logger: LineLogger;
  readonly #lines: PacedLines;
  /** The parts that have failed since the outage of the database began. */
  readonly #failing = new Set<string>();
  /** The parts that refuse to work until a check of the database succeeds. */
  readonly #blocked = new Set<string>();
  /** When the outage of the database began, by `performance.now()`. Undefined while the database is available. */
  #downSince: number | undefined;
  #availableSince = Number.NEGATIVE_INFINITY;
  /** Ends the outage unless a part fails before. Undefined if no part has worked since the last failure. */
  #recovery: NodeJS.Timeout | undefined;
  /** The number of failures without a line since the last line about the database. */
  #failures = 0;

  /** @throws TypeError when an option is unknown or invalid */
  constructor(options: LogOptions) {
    assertKnownOptions<LogOptions>('createLogObserver', options, { logger: true, intervalMs: true });
    const { logger, intervalMs = 60_000 } = options;
    for (const level of levels)
      if (typeof logger?.[level] !== 'function') throw new TypeError(`logger: ${level} must be a function`);
    assertWholeNumber('intervalMs', intervalMs, { max: MAX_TIMER_MS });
    this.#logger = safeLogger(logger);
    this.#lines = new PacedLines(intervalMs);
  }

  /** Whether the last line about the database says that it is unavailable. */
  get isDatabaseDown(): boolean {
    return this.#downSince !== undefined;
  }

  /** Whether the last lines about the database explain a failure: it is unavailable, or has just become available. */
  get explainsFailures(): boolean {
    return this.isDatabaseDown || this.#isSettling;
  }

  get #isSettling(): boolean {
    return performance.now() - this.#availableSince < SETTLING_MS && this.#blocked.size === 0;
  }

  /** Reports a failure. If the error or one of its causes is an outage or a commit in doubt, the database is unavailable. */
  failed({ part, error, text, fields, about = '', level = 'error' }: Failure): void {
    const isSign = findCause(error, isOutage) ?? findCause(error, isCommitInDoubt);
    if (isSign && !findCause(error, isContention)) {
      this.#failing.add(part);
      this.#databaseFailed(part, error, fields);
    } else {
      const line = () => ({ ...fields, err: describeError(error) });
      this.add(`${part} ${text} ${about} ${kindOf(error)}`, level, text, line);
    }
  }

  /**
   * Reports that a part works. Has an effect only if the part has failed because of the database. The database counts as available
   * if no part fails within a second.
   */
  worked(part: string): void {
    if (!this.#failing.has(part) || this.#blocked.size > 0 || this.#recovery) return;
    const at = performance.now();
    // The process must not stay alive for a log line.
    this.#recovery = setTimeout(() => this.#databaseWorked(at), QUIET_MS).unref();
  }

  /**
   * Reports that a part has found the database unavailable, and does not work before a check of the database succeeds. The
   * database counts as unavailable until `unblocked` was called for each such part.
   * @param error the reason, if it is known
   */
  blocked(part: string, error?: unknown, fields?: Readonly<Record<string, string | number>>): void {
    this.#blocked.add(part);
    this.#databaseFailed(part, error, fields);
  }

  /** Reports that the check of a part has succeeded. */
  unblocked(part: string): void {
    if (this.#blocked.delete(part) && this.#blocked.size === 0) this.#databaseWorked(performance.now());
  }

  /** Reports that a part has ended, so that an outage of the database does not last until its check succeeds. */
  ended(part: string): void {
    this.#blocked.delete(part);
  }

  /**
   * Adds an event that may repeat. It has one line for each kind and interval.
   * @param fields returns the fields of the line; called only if the line is written
   */
  add(kind: string, level: Severity, text: string, fields: () => Readonly<Record<string, unknown>>): void {
    this.#lines.add(`${level} ${kind}`, (suppressed) =>
      this.#logger[level]({ ...fields(), ...(suppressed > 0 && { suppressed }) }, text),
    );
  }

  #databaseFailed(part: string, error: unknown, fields: Failure['fields']): void {
    this.#endRecovery();
    if (this.explainsFailures) {
      this.#failures++;
      return;
    }
    this.#downSince = performance.now();
    const reason = error === undefined ? {} : { err: describeError(error) };
    this.#logger.error({ part, ...fields, ...reason }, 'the database is unavailable');
  }

  /** @param at when a part or a check has worked, by `performance.now()` */
  #databaseWorked(at: number): void {
    this.#endRecovery();
    if (this.#downSince === undefined) return;
    const seconds = Math.round((at - this.#downSince) / 1_000);
    this.#downSince = undefined;
    this.#availableSince = performance.now();
    this.#failing.clear();
    const failures = this.#failures;
    this.#failures = 0;
    this.#logger.info({ seconds, failures }, 'the database is available again');
  }

  #endRecovery(): void {
    clearTimeout(this.#recovery);
    this.#recovery = undefined;
  }
}

/** Returns a logger that never throws. Timers write lines too, and there an error would end the process. */
function safeLogger(logger: LineLogger): LineLogger {
  const write = (level: Severity): WriteLine =>
    neverThrowing((fields, text) => logger[level](fields, text), warnOnce(level, 'a logger'));
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}
