import { setLogger } from '@grpc/grpc-js';
import { createGrpcLogger, describeError } from 'grpc-replay-guard/logging';
import { type Logger, pino } from 'pino';

/** The log of the server. */
export type Log = Logger;

/**
 * Makes a log that writes JSON lines to stdout. Log events and errors only, never a key, a request, a reply or a
 * token. Errors are described without what they quote, under any name.
 * @param level the lowest level that is written
 */
export function createLog(level: string): Log {
  // pino writes synchronously here, so that the last line before an exit is not lost.
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { log: withDescribedErrors },
    // The error is already described. The serializer of pino would describe it again.
    serializers: { err: (described) => described },
    hooks: {
      // pino takes the message of an error as the text of the line.
      logMethod(line, write) {
        const [first, text]: readonly unknown[] = line;
        if (first instanceof Error) write.call(this, { err: first }, String(text ?? 'an error'));
        else write.apply(this, line);
      },
    },
  });
}

function withDescribedErrors(fields: Record<string, unknown>): Record<string, unknown> {
  const described = { ...fields };
  for (const [name, value] of Object.entries(fields)) {
    const isThrown = name === 'err' && value !== undefined;
    if (isThrown || value instanceof Error) described[name] = describeError(value);
  }
  return described;
}

/** The codes of this product's own warnings, whose texts quote nothing. */
const OWN_CODE = /^REPLAY_GUARD_/;

/**
 * Sends the lines of grpc-js and the warnings of Node to the log instead of stderr, without what they quote. grpc-js
 * quotes metadata that it drops. Some warnings of Node quote their cause, such as an address.
 */
export function logLibraries(log: Log): void {
  setLogger(createGrpcLogger((level, text, lines) => log[level]({ lines }, `grpc: ${text}`)));
  // The listener of Node writes warnings to stderr.
  process.removeAllListeners('warning');
  process.on('warning', (warning: NodeJS.ErrnoException & { readonly detail?: string }) => {
    const { name: type, code = '', message, detail } = warning;
    if (OWN_CODE.test(code)) log.warn({ type, code, detail }, message);
    else log.warn({ type, code }, 'a warning of Node');
  });
}
