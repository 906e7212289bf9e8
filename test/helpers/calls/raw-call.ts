import { once } from 'node:events';
import { connect } from 'node:net';
import type { Cleanup } from '../databases/postgres.js';

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const END_STREAM = 1;
const END_HEADERS = 4;

type Headers = readonly (readonly [string, string])[];

/**
 * Sends one call with an empty message and exactly the given headers. HTTP/2 libraries refuse some of these headers,
 * for example two values of a header that is allowed only once. The reply is not read.
 */
export function sendRawCall(t: Cleanup, address: string, path: string, headers: Headers): Promise<void> {
  return sendRawCalls(t, address, path, [headers]);
}

/**
 * Sends calls on one connection, like `sendRawCall`. The headers of all calls come before the messages, and the messages
 * come in the opposite order.
 */
export async function sendRawCalls(
  t: Cleanup,
  address: string,
  path: string,
  calls: readonly Headers[],
): Promise<void> {
  const [host, port] = address.split(':');
  const socket = connect(Number(port), host);
  t.teardown(() => void socket.destroy());
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  const ofEveryCall: Headers = [
    ...[[':method', 'POST'] as const, [':scheme', 'http'] as const, [':path', path] as const],
    ...[[':authority', address] as const, ['content-type', 'application/grpc'] as const],
    ...[['te', 'trailers'] as const],
  ];
  const streams = calls.map((headers, index) => ({
    id: 2 * index + 1,
    block: Buffer.concat([...ofEveryCall, ...headers].map(field)),
  }));
  socket.write(
    Buffer.concat([
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      frame(SETTINGS, 0, 0, Buffer.alloc(0)),
      ...streams.map(({ id, block }) => frame(HEADERS, END_HEADERS, id, block)),
      ...streams.reverse().map(({ id }) => frame(DATA, END_STREAM, id, Buffer.alloc(5))),
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

const field = ([name, value]: readonly [string, string]) => Buffer.concat([literal, text(name), text(value)]);

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
