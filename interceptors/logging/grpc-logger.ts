import { neverThrowing, warnOnce } from './warn-once.js';

/** The level of a line of grpc-js. */
export type GrpcLogLevel = 'error' | 'info' | 'debug';

/** A logger for `setLogger` of grpc-js. */
export type GrpcLogger = { readonly [Level in GrpcLogLevel]: (...line: unknown[]) => void };

/** The interval in which one text is written once, in milliseconds. */
const INTERVAL_MS = 10_000;

/** The lines of grpc-js 1.14 that are known, by their beginning, and the text that stands for each. */
const known: readonly (readonly [beginning: RegExp, text: string])[] = [
  [/^Failed to add metadata entry /, 'a metadata entry with illegal characters was dropped'],
  [/^No address added out of total /, 'no address of the listener could be bound'],
  [/^WARNING Only \d+ addresses added /, 'not every address of the listener could be bound'],
  [/^Failed to set secure context /, 'the renewed TLS credentials of a server cannot be used'],
  [/^Failed to createSecureContext /, 'the TLS credentials of a client cannot be used'],
  [/^Connection to .* because of excess pings/, 'a server refused a connection because of too many pings'],
  [/^Invalid value provided for grpc\.default_compression/, 'the default compression is not known'],
  [/^cannot parse value of "\w+" env var/, 'the address of the HTTP proxy cannot be parsed'],
  [/scheme not supported in proxy URI$/, 'the scheme of the HTTP proxy is not supported'],
  [/^userinfo found in proxy URI$/, 'the address of the HTTP proxy has a user and a password'],
  [/^Failed to connect to .* through proxy /, 'the HTTP proxy refused a connection'],
  [/^Failed to connect to proxy /, 'the HTTP proxy cannot be reached'],
  [/^\S+ \| v[\w.-]+ \d+ \| \w+ \| /, 'a trace line was left out, because it may quote a call'],
];

const UNKNOWN = 'a line was left out, because it is not known and may quote a call';

/**
 * Makes a logger for `setLogger` of grpc-js that writes what happened and never what a caller sent. By default grpc-js
 * writes whole metadata values to stderr, such as tokens and keys, when it drops them. This logger writes a fixed text for
 * each known line, and another fixed text for all other lines.
 * @param write receives a text and how many lines it stands for. Equal texts are written once in 10 seconds: the next
 *   one counts the lines since.
 */
export function createGrpcLogger(
  write: (level: GrpcLogLevel, text: string, lines: number) => void,
): GrpcLogger {
  // grpc-js logs while it handles events of sockets, so an error would end the process.
  const writeLine = neverThrowing(write, warnOnce('write', 'a logger of grpc-js'));
  const last = new Map<string, { atMs: number; lines: number }>();
  const log = (level: GrpcLogLevel) => (line: unknown) => {
    const text = textFor(line);
    const kind = `${level} ${text}`;
    const written = last.get(kind) ?? { atMs: Number.NEGATIVE_INFINITY, lines: 0 };
    last.set(kind, written);
    written.lines++;
    if (performance.now() - written.atMs < INTERVAL_MS) return;
    const { lines } = written;
    Object.assign(written, { atMs: performance.now(), lines: 0 });
    writeLine(level, text, lines);
  };
  return { error: log('error'), info: log('info'), debug: log('debug') };
}

function textFor(line: unknown): string {
  if (typeof line !== 'string') return UNKNOWN;
  return known.find(([beginning]) => beginning.test(line))?.[1] ?? UNKNOWN;
}
