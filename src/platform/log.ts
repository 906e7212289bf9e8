import { setLogger } from '@grpc/grpc-js';
import { createGrpcLogger, describeError } from 'grpc-replay-guard/logging';
import { type Logger, pino } from 'pino';

/** The log of the server. */
export type Log = Logger;

/**
 * Makes a log that writes JSON lines to stdout. Log events and errors only, never a key, a request, a reply or a
 * token. An error belongs under the name `err`: only this name leaves out what the error quotes.
 * @param level the lowest level that is written
 */
export function createLog(level: string): Log {
  // pino writes synchronously here, so that the last line before an exit is not lost.
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: describeError },
  });
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
  process.on('warning', (warning) => {
    const code = 'code' in warning ? String(warning.code) : undefined;
    const isOwn = code !== undefined && OWN_CODE.test(code);
    log.warn({ type: warning.name, code }, isOwn ? warning.message : 'a warning of Node');
  });
}
