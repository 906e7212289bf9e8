import { createHash } from 'node:crypto';
import { lengthPrefixed, storedId } from '../store/record-id.js';
import { MessageInvalidError } from './errors.js';

/** What tells a message from every other: all three together. */
export interface MessageName {
  /**
   * Who processes it, 1 to 100 characters: a name in the code, since metrics show it. Two consumers of one
   * message process it once each.
   */
  readonly consumer: string;
  /** The message's own id, the same at every delivery, 1 to 1,024 characters. */
  readonly messageId: string;
  /** Where the id means something, a sender or a queue, 1 to 1,024 characters: ids of two scopes never meet. */
  readonly scope: string;
}

const MOST_CHARACTERS = { scope: 1_024, consumer: 100, messageId: 1_024 } as const;

/**
 * The 16 bytes under which a message is recorded: SHA-256 over the length-prefixed parts, cut in half, so that
 * no id is kept as it came.
 * @throws MessageInvalidError a part is missing, empty, too long, or no well-formed text
 */
export function recordIdOf(message: MessageName): Buffer {
  const hash = createHash('sha256');
  for (const part of ['scope', 'consumer', 'messageId'] as const) {
    assertUsable(part, message[part]);
    hash.update(lengthPrefixed(message[part]));
  }
  return storedId(hash.digest());
}

/** The value comes from outside, by way of libraries that know no types: it may be anything. */
function assertUsable(part: keyof typeof MOST_CHARACTERS, value: unknown): void {
  const most = MOST_CHARACTERS[part];
  const usable = typeof value === 'string' && value.length >= 1 && value.length <= most;
  // Half a character has no bytes of its own, so that two such texts could pass for one.
  if (usable && !/\p{Surrogate}/u.test(value)) return;
  throw new MessageInvalidError(`a message needs a ${part}: a text of 1 to ${most} characters`);
}
