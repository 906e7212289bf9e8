import { type Logger, pino } from 'pino';

export type Log = Logger;

/**
 * JSON lines on stdout. What is logged are events and errors, never a key, a request, a reply or a token.
 * @param level the least severe level that is written
 */
export function createLog(level: string): Log {
  // A synchronous write, so that the last line before an exit is not lost.
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: described },
  });
}

interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly code?: unknown;
  readonly stack?: string | undefined;
  readonly cause?: DescribedError;
}

/** No further fields: a database's error quotes the row that it is about. */
function described(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { name, message, stack, cause } = error;
  return {
    type: name,
    message,
    ...('code' in error && { code: error.code }),
    stack,
    ...(cause instanceof Error && { cause: described(cause) }),
  };
}
