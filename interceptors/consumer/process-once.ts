import type { Database } from '../database/database.js';
import { LockTimeoutError } from '../database/errors.js';
import { waitAtCommit } from '../database/postgres/standby-sql.js';
import { assertKnownOptions } from '../options/known-options.js';
import { assertWholeNumber } from '../options/whole-number.js';
import type { Clock } from '../timing/clock.js';
import { MessageInProgressError } from './errors.js';
import { type MessageName, recordIdOf } from './message.js';
import { timeOf } from './time.js';

/** The result of one delivery of a message. Acknowledge the delivery in both cases. */
export type ProcessResult<T> =
  | { readonly outcome: 'processed'; readonly value: T }
  /** An earlier delivery was processed and committed. The work was not called. */
  | { readonly outcome: 'duplicate' };

/** The options of `processOnce`. */
export interface ProcessOptions {
  /** How long the message is retained, in milliseconds, at least 1 minute. Default: 7 days. */
  readonly retentionMs?: number;
  /** Returns milliseconds since the epoch. Default: the clock of the database. */
  readonly clock?: () => number;
}

const DEFAULT_RETENTION_MS = 7 * 24 * 3_600_000;
const MIN_RETENTION_MS = 60_000;

// If another transaction has inserted the same row, the insert waits. The insert returns no row if the other
// transaction commits.
const insert = (time: string) => `
  INSERT INTO replay_guard_messages (id, expires_at) VALUES ($1, ${time} + $2)
  ON CONFLICT (id) DO NOTHING RETURNING expires_at`;

/**
 * Processes a message at most once, however often the message is delivered. Records the message and runs `work` in
 * one transaction. Inside a guarded call or another transaction, a savepoint replaces the transaction, and the
 * message counts as processed when the outer transaction commits. `createConsumer` creates the table that this
 * function needs.
 *
 * Acknowledge the delivery when the promise resolves. A rejection means that nothing was committed. The exception is
 * a CommitInDoubtError: the next delivery determines the outcome.
 * @throws TypeError when an option is unknown, or the retention is too short
 * @throws MessageInvalidError when the name of the message is malformed
 * @throws MessageInProgressError when another delivery is being processed; try again later
 * @throws DatabaseUnavailableError when the database is unavailable; nothing was committed, so try again later
 * @throws CommitInDoubtError when it is unknown whether the message was processed
 * @throws the error that `work` throws
 */
export async function processOnce<T>(
  database: Database,
  message: MessageName,
  work: () => Promise<T>,
  options: ProcessOptions = {},
): Promise<ProcessResult<T>> {
  assertKnownOptions<ProcessOptions>('processOnce', options, { retentionMs: true, clock: true });
  const retentionMs = checkedRetention(options);
  const id = recordIdOf(message);
  // Report a duplicate only after the commit, because on SQLite a row is visible before the commit of its
  // transaction.
  return database.transaction(async () => {
    const isNew = await record(database, id, retentionMs, options.clock);
    if (isNew) return { outcome: 'processed', value: await work() };
    // The wait of the earlier commit for its standby may have ended early. This commit waits for the standby in its place.
    if (database.dialect.name === 'postgres') await database.query(waitAtCommit);
    return { outcome: 'duplicate' };
  });
}

/**
 * Returns the retention, or its default, in milliseconds.
 * @throws TypeError when the retention is too short, because a duplicate could arrive after the expiry
 */
export function checkedRetention({ retentionMs = DEFAULT_RETENTION_MS }: ProcessOptions): number {
  assertWholeNumber('retentionMs', retentionMs, { min: MIN_RETENTION_MS });
  return retentionMs;
}

async function record(
  database: Database,
  id: Buffer,
  retentionMs: number,
  clock: Clock | undefined,
): Promise<boolean> {
  const time = timeOf(database.dialect.now, clock, 3);
  try {
    return (await database.query(insert(time.sql), [id, retentionMs, ...time.params])).length > 0;
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error;
    throw new MessageInProgressError('another delivery of the message is being processed', { cause: error });
  }
}
