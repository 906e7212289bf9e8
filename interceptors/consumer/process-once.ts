import type { Database, Dialect, SqlValue } from '../database/database.js';
import { LockTimeoutError } from '../database/errors.js';
import { assertWholeNumber } from '../options/whole-number.js';
import { clockValue } from '../timing/clock.js';
import { MessageInProgressError } from './errors.js';
import { type MessageName, recordIdOf } from './message.js';

/** What became of one delivery of a message. Either way it is to be acknowledged. */
export type ProcessResult<T> =
  | { readonly outcome: 'processed'; readonly value: T }
  /** An earlier delivery was processed, and is committed. The work was not called. */
  | { readonly outcome: 'duplicate' };

export interface ProcessOptions {
  /** How long the message is remembered, in milliseconds, at least 1 minute. Default: 7 days. */
  readonly retentionMs?: number;
  /** Milliseconds since the epoch. Default: the database's clock. */
  readonly clock?: () => number;
}

const DEFAULT_RETENTION_MS = 7 * 24 * 3_600_000;
const LEAST_RETENTION_MS = 60_000;

// Waits for a transaction that is inserting the same row: no row comes back only once that has committed.
const insert = ({ now }: Dialect) => `
  INSERT INTO replay_guard_messages (id, expires_at) VALUES ($1, COALESCE($2, ${now}) + $3)
  ON CONFLICT (id) DO NOTHING RETURNING expires_at`;

/**
 * Processes a message whose deliveries may be many: records it and runs `work` in one transaction, so that what
 * `work` writes through `database` happens once. Inside a guarded call, or another transaction, it is a savepoint
 * of that one, and counts when that commits. The table must be there: `createConsumer` makes it.
 *
 * Acknowledge the delivery when this resolves, and only then. When it rejects nothing was done, unless it is a
 * CommitInDoubtError: the next delivery finds out.
 * @throws TypeError the retention is too short
 * @throws MessageInvalidError the message cannot be told from others
 * @throws MessageInProgressError another delivery is being processed: try again later
 * @throws DatabaseUnavailableError nothing was done: try again later
 * @throws CommitInDoubtError it is not known whether the message was processed
 * @throws whatever `work` does
 */
export async function processOnce<T>(
  database: Database,
  message: MessageName,
  work: () => Promise<T>,
  options: ProcessOptions = {},
): Promise<ProcessResult<T>> {
  const { clock } = options;
  const retentionMs = retentionOf(options);
  const id = recordIdOf(message);
  // Told only when the transaction has ended: on SQLite a row can be seen before the commit that it is part of.
  return database.transaction(async () => {
    const isNew = await record(database, [id, clockValue(clock), retentionMs]);
    return isNew ? { outcome: 'processed', value: await work() } : { outcome: 'duplicate' };
  });
}

/** @throws TypeError it is too short: a message that is forgotten at once is processed at every delivery */
export function retentionOf({ retentionMs = DEFAULT_RETENTION_MS }: ProcessOptions): number {
  assertWholeNumber('retentionMs', retentionMs, { min: LEAST_RETENTION_MS });
  return retentionMs;
}

async function record(database: Database, params: readonly SqlValue[]): Promise<boolean> {
  try {
    return (await database.query(insert(database.dialect), params)).length > 0;
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error;
    throw new MessageInProgressError('another delivery of the message is being processed', { cause: error });
  }
}
