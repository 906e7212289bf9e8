import { lengthPrefixed, sha256, storedId } from '../store/record-id.js';
import { MessageInvalidError } from './errors.js';

/** Identifies a message. Two deliveries belong to one message if and only if all three parts are equal. */
export interface MessageName {
  /**
   * The processor of the message, 1 to 100 characters. Use a constant of the code, because metrics show the name. If
   * a message has two consumers, each consumer processes the message once.
   */
  readonly consumer: string;
  /** The id of the message, 1 to 1,024 characters, equal in every delivery. */
  readonly messageId: string;
  /** The sender or the queue in which the id is unique, 1 to 1,024 characters. */
  readonly scope: string;
}

const MAX_CHARACTERS = { scope: 1_024, consumer: 100, messageId: 1_024 } as const;

/**
 * Returns the 16 bytes under which a message is recorded: the first half of the SHA-256 digest of the
 * length-prefixed parts. The database therefore holds no id in plain text.
 * @throws MessageInvalidError when a part is missing, empty or too long, or has an unpaired surrogate
 */
export function recordIdOf(message: MessageName): Buffer {
  const { scope, consumer, messageId } = message;
  for (const part of ['scope', 'consumer', 'messageId'] as const) assertValid(part, message[part]);
  return storedId(sha256(lengthPrefixed(scope, consumer, messageId)));
}

/** The type of the value is `unknown`: messages come from outside, often through untyped libraries. */
function assertValid(part: keyof typeof MAX_CHARACTERS, value: unknown): void {
  const max = MAX_CHARACTERS[part];
  const hasValidLength = typeof value === 'string' && value.length >= 1 && value.length <= max;
  // All unpaired surrogates have the same bytes in UTF-8, so two different ids would have one record.
  if (hasValidLength && !/\p{Surrogate}/u.test(value)) return;
  throw new MessageInvalidError(`the ${part} of a message must be a text of 1 to ${max} characters`);
}
