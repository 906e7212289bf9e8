import type { Row, SqlColumn } from '../../database/database.js';
import type { DatabaseEngine, Statement } from '../../database/engine.js';
import { LockTimeoutError } from '../../database/errors.js';

/** The maximum number of lock failures in one list. At the maximum, the remaining records are skipped. */
const MAX_LOCK_FAILURES = 20;

/** The result of a change to a list of records. */
export interface ChangedRecords {
  /** The number of records that fulfilled the condition of the statement. */
  readonly changed: number;
  /** The number of records that were skipped, because another transaction holds them or a record near them. */
  readonly skipped: number;
  /** How long the statements took, in milliseconds, without the time in the queue of the writer. */
  readonly busyMs: number;
}

/**
 * Changes a list of selected records, each list in a transaction of its own. If a record is locked, the
 * list is divided until the locked record is alone. That record is skipped, and the other records are changed. Two
 * servers may change their lists in different orders. They block each other at most for the short lock wait.
 * @param refs the references of the records, as the select statement returned them
 * @param change returns the statement for a list of references, which repeats the condition of the select statement
 * @param hasRowLocks whether other transactions can lock single records
 */
export async function changeSelected(
  engine: DatabaseEngine,
  refs: readonly SqlColumn[],
  change: (list: string) => Statement,
  hasRowLocks: boolean,
): Promise<ChangedRecords> {
  let [changed, skipped, busyMs, failures] = [0, 0, 0, 0];
  const lists = [refs];
  for (let list = lists.pop(); list; list = lists.pop()) {
    if (list.length === 0) continue;
    if (failures === MAX_LOCK_FAILURES) {
      skipped += list.length;
      continue;
    }
    const start = performance.now();
    try {
      const done = await runAlone(engine, change(list.join(',')), hasRowLocks);
      changed += done.rows.length;
      busyMs += done.busyMs;
    } catch (error) {
      if (!hasRowLocks || !isContention(error)) throw error;
      busyMs += performance.now() - start;
      failures++;
      if (list.length === 1) skipped++;
      else {
        const middle = list.length >> 1;
        lists.push(list.slice(middle), list.slice(0, middle));
      }
    }
  }
  return { changed, skipped, busyMs };
}

/** Runs if the statement changes no record. */
const nothing: Statement = { text: 'SELECT 1 AS nothing', params: [] };

async function runAlone(
  engine: DatabaseEngine,
  statement: Statement,
  hasRowLocks: boolean,
): Promise<{ rows: Row[]; busyMs: number }> {
  // With row locks, the statement waits only briefly for a locked record.
  let start = performance.now();
  if (hasRowLocks) {
    const attempt = await engine.attempt(statement, nothing, 'alone');
    const busyMs = performance.now() - start;
    if ('rows' in attempt) return { rows: attempt.rows, busyMs };
    if (attempt.isLocked) throw new LockTimeoutError('another transaction holds a record of the list');
    return { rows: [], busyMs };
  }
  const { session } = await engine.open();
  start = performance.now();
  try {
    const rows = await session.query(statement);
    const busyMs = performance.now() - start;
    await session.commit();
    return { rows, busyMs };
  } catch (error) {
    await session.rollback();
    throw error;
  }
}

/** Whether another transaction caused the error: a lock wait (55P03), a deadlock or a serialization failure. */
function isContention(error: unknown): boolean {
  if (error instanceof LockTimeoutError) return true;
  const { cause } = error as Error;
  return cause instanceof Error && 'code' in cause && (cause.code === '40P01' || cause.code === '40001');
}
