import { connect } from 'node:net';
import fc from 'fast-check';
import { type Mutation, mutateBytes, mutations } from './mutations.js';

/** A request over HTTP/1.1, as bytes on a connection. */
export interface HttpInput {
  readonly method: string;
  readonly target: string;
  /** The value of `host`. */
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  /** Changes of the bytes of the whole request. */
  readonly changes: readonly Mutation[];
}

const paths = [
  ...[
    '/livez',
    '/readyz',
    '/metrics',
    '/policies',
    '/outbox',
    '/outbox/requeue',
    '/action',
    '/',
    '//livez',
    '*',
  ],
  ...[
    '/LIVEZ',
    '/livez/',
    '/livez#x',
    '/%6civez',
    '/../livez',
    'http://x/livez',
    '/livez?x=%',
    '/\u00e9',
    '',
  ],
];
const queries = [
  '',
  '',
  '?id=1',
  '?id=',
  '?id=%00',
  '?id=%',
  '?id=1&id=2',
  '?__proto__=1',
  `?id=${'a'.repeat(9_000)}`,
  '?',
];
const methods = [
  'GET',
  'POST',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'get',
  'PATCH',
  'X',
];
const headers = [
  ...[['origin', 'https://evil.example'] as const, ['Origin', 'null'] as const, ['origin', ''] as const],
  ...[
    ['content-length', '5'] as const,
    ['content-length', '-1'] as const,
    ['content-length', '99999999999'] as const,
  ],
  ...[['transfer-encoding', 'chunked'] as const, ['transfer-encoding', 'identity'] as const],
  ...[['expect', '100-continue'] as const, ['upgrade', 'h2c'] as const, ['connection', 'upgrade'] as const],
  ...[
    ['x', 'a\tb'] as const,
    ['x', '\u0080'] as const,
    ['x y', 'z'] as const,
    ['x', 'a'.repeat(20_000)] as const,
  ],
  ...[['range', 'bytes=0-0'] as const, ['accept', '*/*;q=x'] as const, ['cookie', 'a=b'] as const],
];

const hosts = [
  ...[
    'evil.example',
    'evil.example:80',
    '127.0.0.1@evil.example',
    'localhost.evil.example',
    '127.1',
    '0x7f.1',
  ],
  ...[
    '[::1]',
    '[::1]:80',
    '[evil]',
    'LOCALHOST.',
    '',
    ' ',
    '1.2.3.4',
    '127.0.0.1.',
    'localhost:x',
    'localhost, evil',
  ],
];

/** Well-formed and malformed requests to the operations port. */
export const httpInputs: fc.Arbitrary<HttpInput> = fc.record({
  method: fc.oneof(fc.constantFrom('GET', 'POST'), fc.constantFrom(...methods)),
  target: fc
    .tuple(
      fc.oneof(fc.constantFrom('/livez', '/outbox', '/action'), fc.constantFrom(...paths)),
      fc.constantFrom(...queries),
    )
    .map(([path, query]) => path + query),
  host: fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('127.0.0.1:9464', 'localhost') },
    { weight: 1, arbitrary: fc.constantFrom(...hosts) },
  ),
  headers: fc.oneof(fc.constant([]), fc.array(fc.constantFrom(...headers), { maxLength: 2 })),
  body: fc.oneof(
    fc.constant(''),
    fc.constantFrom('x', '{}', '5\r\nhello\r\n0\r\n\r\n', 'GET /action HTTP/1.1\r\n\r\n'),
  ),
  changes: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: mutations }),
});

/** Returns the bytes of a request. */
export function bytesOf({ method, target, host, headers: sent, body, changes }: HttpInput): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`, `host: ${host}`, ...sent.map((header) => header.join(': '))];
  const bytes = Buffer.from(`${lines.join('\r\n')}\r\nconnection: close\r\n\r\n${body}`, 'latin1');
  return changes.length > 0 ? mutateBytes(bytes, changes) : bytes;
}

/** Sends bytes, ends the sending side, and resolves to all bytes that came back before the connection closed. */
export function exchange(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const socket = connect(port, '127.0.0.1');
    socket.on('data', (chunk) => received.push(chunk));
    socket.on('error', () => {});
    socket.once('close', () => resolve(Buffer.concat(received).toString('latin1')));
    socket.end(bytes);
  });
}
