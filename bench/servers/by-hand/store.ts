import type { Row, Statement, Write } from './writes.js';

/** The identity of a call: SHA-256 of its key, and SHA-256 of its request. */
export interface KeyedRequest {
  readonly id: Buffer;
  readonly fingerprint: Buffer;
}

/** A reply as its bytes, and until when it is kept. */
export interface StoredReply {
  readonly bytes: Buffer;
  readonly expiresAtMs: number;
  readonly isReplay: boolean;
}

/** How long the servers written by hand keep a reply, in milliseconds. */
export const RETENTION_MS = 86_400_000;

export const findText = 'SELECT fingerprint, reply, expires_at FROM bench_records WHERE id = $1';

export const claimText = `
  INSERT INTO bench_records (id, fingerprint, expires_at) VALUES ($1, $2, $3)
  ON CONFLICT (id) DO NOTHING RETURNING expires_at`;

export const completeText = 'UPDATE bench_records SET reply = $1 WHERE id = $2';

/** The database of a server written by hand. */
export interface HandStore {
  /** Looks a key up. A store that can answer at once returns no promise. */
  find(key: KeyedRequest): StoredReply | undefined | Promise<StoredReply | undefined>;
  /** Claims the key, writes, and stores the reply in one transaction. A concurrent duplicate gets the stored reply. */
  execute(key: KeyedRequest, write: Write): Promise<StoredReply>;
  /** Writes in one transaction, without a key. */
  write(write: Write): Promise<Buffer>;
  run(statement: Statement): Promise<readonly Row[]>;
}

/**
 * Makes a stored reply of a record's row.
 * @throws Error when the key was used with another request
 */
export function replayOf(row: Row, fingerprint: Buffer): StoredReply {
  if (!fingerprint.equals(row.fingerprint as Buffer)) throw new Error('the key has another request');
  return { bytes: row.reply as Buffer, expiresAtMs: Number(row.expires_at), isReplay: true };
}
