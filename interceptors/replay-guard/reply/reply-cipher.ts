import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { assertKnownOptions } from '../../options/known-options.js';
import { UnreadableReplyError } from './reply.js';

/** The keys for the encryption of stored replies: AES-256 keys of 32 bytes. */
export interface CipherKeys {
  /** Encrypts new replies. */
  readonly current: Buffer;
  /** Earlier keys. Replies that were encrypted with these keys can still be read. Default: none. */
  readonly previous?: readonly Buffer[];
  /** Whether replies that were stored in plain form are accepted. Default: false. */
  readonly readsPlaintext?: boolean;
}

/** Encrypts replies for the store and decrypts stored replies. */
export interface ReplyCipher {
  /** Encrypts a reply. Only the same record id decrypts the result. */
  seal(plain: Buffer, recordId: Buffer): Buffer;
  /** @throws UnreadableReplyError when the reply was changed, belongs to another record, or has an unknown key */
  open(sealed: Buffer, recordId: Buffer): Buffer;
}

/** The first byte of an encrypted reply. A plain reply begins with its version, which differs from this byte. */
const SEALED = 0xe1;
const KEY_BYTES = 32;
const TAG_BYTES = 16;
const KEY_ID_BYTES = 4;
const IV_BYTES = 12;
const HEADER_BYTES = 1 + KEY_ID_BYTES + IV_BYTES;

/**
 * Creates a cipher that uses AES-256-GCM with a key derived for each record (HKDF, RFC 5869). One key is therefore
 * safe for any number of records. A reply can only be decrypted with the id of its own record.
 * @throws TypeError when a key is not 32 bytes long, or an option is unknown
 */
export function replyCipher(keys: CipherKeys): ReplyCipher {
  if (typeof keys !== 'object')
    throw new TypeError(`cipherKey must be a Buffer of ${KEY_BYTES} bytes, or options`);
  assertKnownOptions('cipherKey', keys, { current: true, previous: true, readsPlaintext: true });
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
      return named ? open(named, sealed, recordId) : unreadable('was encrypted with an unknown key');
    },
  };
}

/** Stores replies in plain form. An encrypted reply is not decrypted, so its decoding fails. */
export const noCipher: ReplyCipher = {
  seal: (plain) => plain,
  open: (stored) => stored,
};

interface NamedKey {
  readonly key: Buffer;
  /** Identifies the key without revealing a part of it. */
  readonly id: Buffer;
}

function namedKey(key: Buffer): NamedKey {
  if (!Buffer.isBuffer(key)) throw new TypeError(`a cipher key must be a Buffer of ${KEY_BYTES} bytes`);
  if (key.length !== KEY_BYTES)
    throw new TypeError(`a cipher key must have ${KEY_BYTES} bytes, not ${key.length}`);
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
  if (tag.length !== TAG_BYTES) return unreadable('is truncated');
  const iv = header.subarray(-IV_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', recordKey(named, recordId), iv, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.concat([header, recordId]));
  decipher.setAuthTag(tag);
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch {
    return unreadable('was changed or belongs to another record');
  }
}

function unreadable(reason: string): never {
  throw new UnreadableReplyError(`the stored reply ${reason}`);
}
