import { crc32 } from 'node:zlib';
import { Metadata, type MetadataValue } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { isGuardMetadata } from '../../protocol/headers.js';

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
}

/** Thrown when a stored reply fails its checksum, cannot be decrypted or has an unknown version. */
export class UnreadableReplyError extends Error {
  override name = 'UnreadableReplyError';
}

const VERSION = 1;
const HEADER_BYTES = 5;

const { StoredReply } = protobuf.Root.fromJSON({
  nested: {
    StoredReply: {
      fields: {
        code: { id: 1, type: 'uint32' },
        details: { id: 2, type: 'string' },
        messages: { id: 3, type: 'bytes', rule: 'repeated' },
        initial: { id: 4, type: 'Entry', rule: 'repeated' },
        trailing: { id: 5, type: 'Entry', rule: 'repeated' },
      },
    },
    Entry: { fields: { name: { id: 1, type: 'string' }, value: { id: 2, type: 'bytes' } } },
  },
}).nested as { StoredReply: protobuf.Type };

interface Entry {
  readonly name: string;
  readonly value: Uint8Array;
}

/** A reply as protobufjs decodes it. Absent fields have their defaults. The messages are parts of the decoded bytes. */
interface EncodedReply {
  readonly code: number;
  readonly details: string;
  readonly messages: readonly Buffer[];
  readonly initial: readonly Entry[];
  readonly trailing: readonly Entry[];
}

/**
 * Encodes a reply: a version byte, a CRC-32 of record id and body, then the body as protobuf.
 * @param recordId the id of the record that stores the reply; another id cannot decode the reply
 */
export function encodeReply(reply: Reply, recordId: Buffer): Buffer {
  const body = StoredReply.encode({
    code: reply.code,
    details: reply.details,
    messages: reply.messages,
    initial: toEntries(reply.initial),
    trailing: toEntries(reply.trailing),
  }).finish();
  const stored = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  stored.writeUInt8(VERSION);
  stored.writeUInt32BE(checksum(body, recordId), 1);
  stored.set(body, HEADER_BYTES);
  return stored;
}

/**
 * Decodes a stored reply.
 * @throws UnreadableReplyError when the checksum does not match or the version is unknown
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
  const { code, details, messages, initial, trailing } = StoredReply.decode(body) as unknown as EncodedReply;
  return { code, details, messages, initial: toMetadata(initial), trailing: toMetadata(trailing) };
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

function toEntries(metadata: Metadata): Entry[] {
  return Object.keys(metadata.getMap())
    .filter(isStored)
    .flatMap((name) => metadata.get(name).map((value) => ({ name, value: Buffer.from(value as string) })));
}

function toMetadata(entries: readonly Entry[]): Metadata {
  const metadata = new Metadata();
  for (const { name, value } of entries) {
    const bytes = Buffer.from(value);
    const typed: MetadataValue = name.endsWith('-bin') ? bytes : bytes.toString();
    metadata.add(name, typed);
  }
  return metadata;
}
