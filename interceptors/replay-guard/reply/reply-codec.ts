import { refusals } from '../refusal/refusal.js';
import { decodeReply, encodeReply, type Reply } from './reply.js';
import { type CipherKeys, noCipher, type ReplyCipher, replyCipher } from './reply-cipher.js';

/** Encodes replies for the store and decodes stored replies. With a cipher key, stored replies are encrypted. */
export class ReplyCodec {
  readonly #cipher: ReplyCipher;

  /**
   * @param keys the cipher keys. Default: replies are stored in plain form.
   * @throws TypeError when a key is not 32 bytes long, or an option of `keys` is unknown
   */
  constructor(keys?: Buffer | CipherKeys) {
    if (keys === undefined) this.#cipher = noCipher;
    else this.#cipher = replyCipher(Buffer.isBuffer(keys) ? { current: keys } : keys);
  }

  /**
   * @param recordId the id of the record that stores the reply; only the same id decodes the reply
   * @param execution the reference to the trace of the execution, if the execution is traced
   */
  encode(reply: Reply, recordId: Buffer, execution?: Buffer): Buffer {
    return this.#cipher.seal(encodeReply(reply, recordId, execution), recordId);
  }

  /** @throws Refusal IDEMPOTENCY_REPLY_UNREADABLE when the stored reply cannot be decrypted or decoded */
  decode(stored: Buffer, recordId: Buffer): Reply {
    try {
      return decodeReply(this.#cipher.open(stored, recordId), recordId);
    } catch {
      throw refusals.replyUnreadable();
    }
  }
}
