import { CodedError } from '../context/coded-error.js';
import { DatabaseUnavailableError } from '../database/errors.js';

/**
 * Another delivery of the message is still being processed, and the wait for that delivery has ended. Nothing was
 * committed, so try again later.
 */
export class MessageInProgressError extends DatabaseUnavailableError {
  override name = 'MessageInProgressError';
  static override readonly code: string = 'REPLAY_GUARD_MESSAGE_IN_PROGRESS';
}

/**
 * The name of a message is malformed, so duplicates cannot be recognized. Another delivery of this message fails in
 * the same way.
 */
export class MessageInvalidError extends CodedError {
  override name = 'MessageInvalidError';
  static override readonly code: string = 'REPLAY_GUARD_MESSAGE_INVALID';
}
