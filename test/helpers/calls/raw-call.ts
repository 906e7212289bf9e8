import { once } from 'node:events';
import { connect } from 'node:net';
import type { Cleanup } from '../databases/postgres.js';

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const END_STREAM = 1;
const END_HEADERS = 4;

/**
 * Sends one call with an empty message and exactly the given headers. HTTP/2 libraries refuse some of these headers,
 * for example two values of a header that is allowed only once. The reply is not read.
 */
export async function sendRawCall(
  t: Cleanup,
  address: string,
  path: string,
  headers: readonly (readonly [string, string])[],
): Promise<void> {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  const all = [
    ...[[':method', 'POST'] as const, [':scheme', 'http'] as const, [':path', path] as const],
    ...[[':authority', address] as const, ['content-type', 'application/grpc'] as const],
    ...[['te', 'trailers'] as const, ...headers],
  ];
  const block = Buffer.concat(all.map(([name, value]) => Buffer.concat([literal, text(name), text(value)])));
  socket.write(
    Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(SETTINGS, 0, 0, Buffer.alloc(0)),
      frame(HEADERS, END_HEADERS, 1, block),
      frame(DATA, END_STREAM, 1, Buffer.alloc(5)),
    ]),
  );
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK: the first byte of a literal field without indexing and with a literal name (RFC 7541, section 6.2.2). */
const literal = Buffer.from([0]);

/** HPACK: a string without Huffman coding, after its length as an integer with a 7-bit prefix (RFC 7541, section 5). */
function text(value: string): Buffer {
  const length: number[] = [];
  let rest = value.length;
  if (rest < 127) length.push(rest);
  else {
    length.push(127);
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), Buffer.from(value, 'latin1')]);
}
