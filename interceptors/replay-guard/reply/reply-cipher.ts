import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { UnreadableReplyError } from './reply.js';

/** AES-256 keys, 32 bytes each. */
export interface CipherKeys {
  /** What replies are encrypted with from now on. */
  readonly current: Buffer;
  /** What replies may have been encrypted with before. */
  readonly previous?: readonly Buffer[];
  /** Whether replies that were stored before there was a key are read as they are. Default: false. */
  readonly readsPlaintext?: boolean;
}

/** Seals stored replies and opens them again. */
export interface ReplyCipher {
  seal(plain: Buffer, recordId: Buffer): Buffer;
  /** @throws UnreadableReplyError tampered with, of another record, or of a key that is not known */
  open(sealed: Buffer, recordId: Buffer): Buffer;
}

/** The first byte of what is sealed; no plain reply begins with it. */
const SEALED = 0xe1;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const KEY_ID_BYTES = 4;
const IV_BYTES = 12;
const HEADER_BYTES = 1 + KEY_ID_BYTES + IV_BYTES;

/**
 * AES-256-GCM under a key derived for each record (RFC 5869), so that no number of records wears a key out.
 * A reply opens under its own record's id only.
 * @throws TypeError a key is not 32 bytes long
 */
export function replyCipher(keys: CipherKeys): ReplyCipher {
  const [current, ...previous] = [keys.current, ...(keys.previous ?? [])].map(namedKey) as [
    NamedKey,
    ...NamedKey[],
  ];
  const byId = new Map([...previous, current].map((named) => [named.id.toString('hex'), named]));
  return {
    seal: (plain, recordId) => seal(current, plain, recordId),
    open: (sealed, recordId) => {
      if (sealed[0] !== SEALED) return keys.readsPlaintext ? sealed : unreadable('is not encrypted');
      const named = byId.get(sealed.subarray(1, 1 + KEY_ID_BYTES).toString('hex'));
      return named ? open(named, sealed, recordId) : unreadable('was encrypted with a key that is not known');
    },
  };
}

/** Stores replies as they are; one that is sealed needs its key. */
export const noCipher: ReplyCipher = {
  seal: (plain) => plain,
  open: (stored) => stored,
};

interface NamedKey {
  readonly key: Buffer;
  /** Says which key it was, and nothing of the key. */
  readonly id: Buffer;
}

function namedKey(key: Buffer): NamedKey {
  if (key.length !== KEY_BYTES) throw new TypeError(`a cipher key has ${KEY_BYTES} bytes, not ${key.length}`);
  const id = createHash('sha256').update('grpc-replay-guard key id').update(key).digest();
  return { key, id: id.subarray(0, KEY_ID_BYTES) };
}

function recordKey({ key }: NamedKey, recordId: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', key, recordId, 'grpc-replay-guard reply', KEY_BYTES));
}

function seal(named: NamedKey, plain: Buffer, recordId: Buffer): Buffer {
  const header = Buffer.concat([Buffer.of(SEALED), named.id, randomBytes(IV_BYTES)]);
  const cipher = createCipheriv('aes-256-gcm', recordKey(named, recordId), header.subarray(-IV_BYTES));
  cipher.setAAD(Buffer.concat([header, recordId]));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([header, sealed, cipher.getAuthTag()]);
}

function open(named: NamedKey, sealed: Buffer, recordId: Buffer): Buffer {
  const header = sealed.subarray(0, HEADER_BYTES);
  const body = sealed.subarray(HEADER_BYTES, -TAG_BYTES);
  const tag = sealed.subarray(HEADER_BYTES + body.length);
  if (tag.length !== TAG_BYTES) return unreadable('is cut short');
  const iv = header.subarray(-IV_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', recordKey(named, recordId), iv, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.concat([header, recordId]));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch {
    return unreadable('does not belong to its record, or was tampered with');
  }
}

function unreadable(reason: string): never {
  throw new UnreadableReplyError(`the stored reply ${reason}`);
}
