import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { decodeStatusDetails } from '../../helpers/messages/status-details.js';

/** The entries of a header block: names and values, as bytes in latin-1. */
export type RawEntries = readonly (readonly [name: string, value: string])[];

/** The end of a call. Without a status, HTTP/2 refused the call or closed the connection. */
export interface RawReply {
  readonly code?: number;
  readonly reason?: string;
}

const PREFACE_BYTES = 24;
const HEAD_BYTES = 9;
const HEADERS = 1;
const CONTINUATION = 9;
const END_STREAM = 1;
const END_HEADERS = 4;
const MAX_FRAME = 16_384;
const HANGS_MS = 10_000;

/**
 * A connection to a gRPC server whose calls have exactly the given headers. Node's client sends the frames, and each
 * header block is replaced on its way, because Node refuses to send most malformed headers.
 */
export class RawConnection {
  readonly #blocks: Buffer[] = [];
  readonly #session: ClientHttp2Session;

  constructor(address: string) {
    const [host = '', port] = address.split(':');
    const socket = connect(Number(port), host).setNoDelay(true);
    this.#session = connectHttp2(`http://${address}`, {
      createConnection: () => new Rewriting(socket, this.#blocks),
    });
    this.#session.on('error', () => {});
  }

  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  close(): void {
    this.#session.destroy();
  }

  /** Calls a method with a request. @throws Error if the call has no end within 10 seconds */
  async call(path: string, request: Buffer, entries: RawEntries): Promise<RawReply> {
    this.#blocks.push(
      encoded([
        ...[[':method', 'POST'] as const, [':scheme', 'http'] as const, [':path', path] as const],
        ...[[':authority', 'localhost'] as const, ...entries],
      ]),
    );
    const stream = this.#session.request({ ':method': 'POST', ':path': path });
    const received: Record<string, unknown> = {};
    for (const event of ['response', 'trailers'] as const)
      stream.on(event, (headers: object) => void Object.assign(received, headers));
    stream.on('error', () => {});
    stream.resume();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    stream.end(Buffer.concat([head, request]));
    let timer: NodeJS.Timeout | undefined;
    const hangs = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('the call has no end')), HANGS_MS);
    });
    await Promise.race([new Promise((resolve) => stream.once('close', resolve)), hangs]);
    clearTimeout(timer);
    const status = received['grpc-status'];
    const packed = received['grpc-status-details-bin'];
    const details = packed ? decodeStatusDetails(Buffer.from(String(packed), 'base64')) : undefined;
    const reason = details?.errorInfo?.reason;
    return { ...(status !== undefined && { code: Number(status) }), ...(reason !== undefined && { reason }) };
  }
}

/** Passes the bytes of a connection on, with other header blocks in the frames of the client. */
class Rewriting extends Duplex {
  readonly #socket: Socket;
  readonly #blocks: Buffer[];
  #rest = Buffer.alloc(0);
  #isPreface = true;

  constructor(socket: Socket, blocks: Buffer[]) {
    super();
    this.#socket = socket;
    this.#blocks = blocks;
    socket.on('data', (chunk) => this.push(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    if (this.#isPreface && this.#rest.length >= PREFACE_BYTES) {
      this.#socket.write(this.#take(PREFACE_BYTES));
      this.#isPreface = false;
    }
    while (!this.#isPreface && this.#rest.length >= HEAD_BYTES) {
      const length = HEAD_BYTES + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < length) break;
      const frame = this.#take(length);
      const block = frame.readUInt8(3) === HEADERS ? this.#blocks.shift() : undefined;
      this.#socket.write(block ? headerFrames(frame, block) : frame);
    }
    done();
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(length: number): Buffer {
    const part = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return part;
  }
}

/** Returns the frames of a header block, with the stream and the end of the frame that it replaces. */
function headerFrames(replaced: Buffer, block: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let start = 0; start === 0 || start < block.length; start += MAX_FRAME) {
    const part = block.subarray(start, start + MAX_FRAME);
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUIntBE(part.length, 0, 3);
    head.writeUInt8(start === 0 ? HEADERS : CONTINUATION, 3);
    const isLast = start + MAX_FRAME >= block.length;
    head.writeUInt8((start === 0 ? replaced.readUInt8(4) & END_STREAM : 0) | (isLast ? END_HEADERS : 0), 4);
    head.writeUInt32BE(replaced.readUInt32BE(5), 5);
    frames.push(head, part);
  }
  return Buffer.concat(frames);
}

/** HPACK: literal fields without indexing and without Huffman coding (RFC 7541, section 6.2.2). */
function encoded(entries: RawEntries): Buffer {
  return Buffer.concat(
    entries.flatMap(([name, value]) => [Buffer.of(0), ...[name, value].map((text) => literal(text))]),
  );
}

function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let rest = bytes.length;
  if (rest < 127) length.push(rest);
  else {
    length.push(127);
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}
