import { Logger, type LoggerService } from '@nestjs/common';

/** Writes a line of fields and a text. */
type Write = (fields: object, text: string) => void;

/** A logger for `createLogObserver`. */
export interface NestLineLogger {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
}

/**
 * Returns a logger for `createLogObserver` that writes to a logger of NestJS. Each line is the text, and the fields as JSON.
 * `info` is written as `log`.
 * @param logger default: a `Logger` with the context `ReplayGuard`, whose lines go to the logger of the application
 */
export function createNestLogger(logger: LoggerService = new Logger('ReplayGuard')): NestLineLogger {
  const writer =
    (level: 'debug' | 'log' | 'warn' | 'error'): Write =>
    (fields, text) =>
      logger[level]?.(`${text} ${JSON.stringify(fields)}`);
  return { debug: writer('debug'), info: writer('log'), warn: writer('warn'), error: writer('error') };
}
