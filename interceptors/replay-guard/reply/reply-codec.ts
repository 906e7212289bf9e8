import { refusals } from '../refusal/refusal.js';
import { decodeReply, encodeReply, type Reply } from './reply.js';
import { type CipherKeys, noCipher, type ReplyCipher, replyCipher } from './reply-cipher.js';

/** Turns replies into what the store keeps, and back. */
export class ReplyCodec {
  readonly #cipher: ReplyCipher;

  /** @throws TypeError a key is not 32 bytes long */
  constructor(keys?: Buffer | CipherKeys) {
    if (keys === undefined) this.#cipher = noCipher;
    else this.#cipher = replyCipher(Buffer.isBuffer(keys) ? { current: keys } : keys);
  }

  encode(reply: Reply, recordId: Buffer): Buffer {
    return this.#cipher.seal(encodeReply(reply, recordId), recordId);
  }

  /** @throws Refusal IDEMPOTENCY_REPLY_UNREADABLE */
  decode(stored: Buffer, recordId: Buffer): Reply {
    try {
      return decodeReply(this.#cipher.open(stored, recordId), recordId);
    } catch {
      throw refusals.replyUnreadable();
    }
  }
}
