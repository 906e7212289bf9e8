import { crc32 } from 'node:zlib';
import { Metadata } from '@grpc/grpc-js';
import { isGuardMetadata } from '../../protocol/headers.js';
import { WireReader } from '../../wire/wire-reader.js';
import { WireWriter } from '../../wire/wire-writer.js';

/** The answer of a handler, in the form in which it is stored and replayed. */
export interface Reply {
  /** The gRPC status code. */
  readonly code: number;
  /** The status message. */
  readonly details: string;
  /** The serialized response messages. A unary method has at most one. A message can be empty. */
  readonly messages: readonly Buffer[];
  /** The initial metadata of the handler. */
  readonly initial: Metadata;
  /** The trailing metadata of the handler. */
  readonly trailing: Metadata;
  /**
   * The reference to the trace of the execution, as `CallTrace.reference` returned it. Never sent to a client. Undefined if
   * the execution was not traced, and for a reply that was not read from a store.
   */
  readonly execution?: Buffer;
}

/** Thrown when a stored reply fails its checksum, cannot be decrypted or decoded, or has an unknown version. */
export class UnreadableReplyError extends Error {
  override name = 'UnreadableReplyError';
}

const VERSION = 1;
const HEADER_BYTES = 5;

/** The tags of the stored reply: the field number in the upper bits, the wire type in the lowest three bits. */
const tags = {
  ...{ code: 0x08, details: 0x12, message: 0x1a, initial: 0x22, trailing: 0x2a, execution: 0x32 },
  ...{ entryName: 0x0a, entryValue: 0x12 },
};

/**
 * Encodes a reply: a version byte, a CRC-32 of record id and body, then the body as protobuf.
 * @param recordId the id of the record that stores the reply; another id cannot decode the reply
 * @param execution the reference to the trace of the execution. Versions of the library before tracing skip the reference.
 */
export function encodeReply(reply: Reply, recordId: Buffer, execution?: Buffer): Buffer {
  const out = new WireWriter();
  out.int32(1, reply.code);
  out.string(2, reply.details);
  for (const bytes of reply.messages) out.bytes(3, bytes);
  writeEntries(out, 4, reply.initial);
  writeEntries(out, 5, reply.trailing);
  if (execution) out.bytes(6, execution);
  const body = out.finish();
  const stored = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  stored.writeUInt8(VERSION);
  stored.writeUInt32BE(checksum(body, recordId), 1);
  stored.set(body, HEADER_BYTES);
  return stored;
}

/**
 * Decodes a stored reply.
 * @throws UnreadableReplyError when the checksum does not match, the version is unknown, or the body is malformed
 */
export function decodeReply(stored: Buffer, recordId: Buffer): Reply {
  const body = stored.subarray(HEADER_BYTES);
  if (
    stored.length < HEADER_BYTES ||
    stored.readUInt8() !== VERSION ||
    stored.readUInt32BE(1) !== checksum(body, recordId)
  ) {
    throw new UnreadableReplyError('the stored reply is corrupt or of an unknown version');
  }
  try {
    return readReply(new WireReader(body));
  } catch (cause) {
    throw new UnreadableReplyError('the stored reply is malformed', { cause });
  }
}

function checksum(body: Uint8Array, recordId: Buffer): number {
  return crc32(body, crc32(recordId));
}

const credentialNames = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);

/**
 * Whether a metadata entry is stored. Credentials and the entries of gRPC and the guard belong to one call only. The
 * status details are stored.
 */
function isStored(name: string): boolean {
  if (name === 'grpc-status-details-bin') return true;
  return !credentialNames.has(name) && !name.startsWith('grpc-') && !isGuardMetadata(name);
}

function writeEntries(out: WireWriter, number: number, metadata: Metadata): void {
  for (const name of Object.keys(metadata.getMap()).filter(isStored)) {
    for (const value of metadata.get(name)) {
      out.message(number, () => {
        out.string(1, name);
        out.bytes(2, Buffer.from(value as string));
      });
    }
  }
}

/** Reads the fields one by one instead of by a table, because every replay does it. Unknown fields are skipped. */
function readReply(reader: WireReader): Reply {
  let [code, details] = [0, ''];
  const messages: Buffer[] = [];
  let execution: Buffer | undefined;
  const [initial, trailing] = [new Metadata(), new Metadata()];
  while (!reader.isDone) {
    const tag = reader.tag();
    if (tag === tags.code) code = reader.int32();
    else if (tag === tags.details) details = reader.string();
    else if (tag === tags.message) messages.push(reader.bytes());
    else if (tag === tags.initial) readEntry(reader.message(), initial);
    else if (tag === tags.trailing) readEntry(reader.message(), trailing);
    else if (tag === tags.execution) execution = reader.bytes();
    else reader.skip(tag);
  }
  const reply = { code, details, messages, initial, trailing };
  return execution ? { ...reply, execution } : reply;
}

function readEntry(reader: WireReader, metadata: Metadata): void {
  let name = '';
  let value: Buffer = Buffer.alloc(0);
  while (!reader.isDone) {
    const tag = reader.tag();
    if (tag === tags.entryName) name = reader.string();
    else if (tag === tags.entryValue) value = reader.bytes();
    else reader.skip(tag);
  }
  metadata.add(name, name.endsWith('-bin') ? Buffer.from(value) : value.toString());
}
