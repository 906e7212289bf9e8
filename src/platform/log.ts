import { type Logger, pino } from 'pino';

/** The log of the server. */
export type Log = Logger;

/**
 * Makes a log that writes JSON lines to stdout. Log events and errors only, never a key, a request, a reply or a
 * token.
 * @param level the lowest level that is written
 */
export function createLog(level: string): Log {
  // pino writes synchronously here, so that the last line before an exit is not lost.
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describe },
  });
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly code?: unknown;
  readonly stack?: string | undefined;
  readonly cause?: DescribedError;
}

/** Describes an error without its other fields: the error of a database quotes the row that failed. */
function describe(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    type: name,
    message,
    ...('code' in error && { code: error.code }),
    stack,
    ...(cause instanceof Error && { cause: describe(cause) }),
  };
}
