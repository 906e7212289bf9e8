import { crc32 } from 'node:zlib';
import { Metadata, type MetadataValue } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { isGuardMetadata } from '../../protocol/headers.js';

/** What a handler answered, as it is kept and sent again. */
export interface Reply {
  readonly code: number;
  readonly details: string;
  /** The responses exactly as they went out: at most one of a unary method. An empty one is one. */
  readonly messages: readonly Buffer[];
  readonly initial: Metadata;
  readonly trailing: Metadata;
}

/** A stored reply failed its checksum or has an encoding that this version does not know. */
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

/**
 * Version, checksum, then the reply.
 * @param recordId what the reply is bound to: under another record's id it is unreadable
 */
export function encodeReply(reply: Reply, recordId: Buffer): Buffer {
  const body = StoredReply.encode({
    code: reply.code,
    details: reply.details,
    messages: reply.messages,
    initial: toEntries(reply.initial),
    trailing: toEntries(reply.trailing),
  }).finish();
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(VERSION);
  header.writeUInt32BE(checksum(body, recordId), 1);
  return Buffer.concat([header, body]);
}

/** @throws UnreadableReplyError */
export function decodeReply(stored: Buffer, recordId: Buffer): Reply {
  const body = stored.subarray(HEADER_BYTES);
  if (
    stored.length < HEADER_BYTES ||
    stored.readUInt8() !== VERSION ||
    stored.readUInt32BE(1) !== checksum(body, recordId)
  ) {
    throw new UnreadableReplyError('the stored reply is corrupt or of an unknown version');
  }
  const { code, details, messages, initial, trailing } = StoredReply.toObject(StoredReply.decode(body), {
    defaults: true,
    arrays: true,
  });
  return {
    code,
    details,
    messages: messages.map((message: Uint8Array) => Buffer.from(message)),
    initial: toMetadata(initial),
    trailing: toMetadata(trailing),
  };
}

function checksum(body: Uint8Array, recordId: Buffer): number {
  return crc32(body, crc32(recordId));
}

const credentials = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);

/** Credentials belong to one call; so do gRPC's own entries, except the status details, and the guard's. */
function isKept(name: string): boolean {
  if (name === 'grpc-status-details-bin') return true;
  return !credentials.has(name) && !name.startsWith('grpc-') && !isGuardMetadata(name);
}

function toEntries(metadata: Metadata): Entry[] {
  return Object.keys(metadata.getMap())
    .filter(isKept)
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
