import { DatabaseUnavailableError } from '../database/errors.js';

/** Another delivery of the message is being processed and did not end in time. Nothing was done: try again later. */
export class MessageInProgressError extends DatabaseUnavailableError {
  override name = 'MessageInProgressError';
}

/** The message cannot be told from others, so it cannot be processed once. Another delivery will not help. */
export class MessageInvalidError extends Error {
  override name = 'MessageInvalidError';
}
