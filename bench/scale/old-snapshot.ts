import type { OpenStore } from 'grpc-replay-guard/store';
import { medianOf } from '../report/statistics.js';
import { analyze, fill } from './fill.js';
import { openFilled } from './open-filled.js';

const BATCHES = 100;
const BATCH_SIZE = 500;
/** Batches at the start and at the end of a run whose durations are compared. */
const COMPARED = 10;

/** The median durations of the first and the last batches of a run, in milliseconds. */
export interface BatchDurations {
  readonly firstMs: number;
  readonly lastMs: number;
}

/** The same purge on Postgres, with and without the position of the previous batch. */
export interface OldSnapshotMeasure {
  readonly fromBeginning: BatchDurations;
  readonly fromPosition: BatchDurations;
}

/**
 * Purges on Postgres while an open transaction keeps the deleted rows from being removed.
 * @param urls two empty databases, one for each way
 */
export async function measureOldSnapshot(urls: readonly [string, string]): Promise<OldSnapshotMeasure> {
  return {
    fromBeginning: await measured(urls[0], () => undefined),
    fromPosition: await measured(urls[1], (next) => next),
  };
}

async function measured(
  url: string,
  start: (next: string | undefined) => string | undefined,
): Promise<BatchDurations> {
  const opened = await openFilled(url);
  try {
    const records = BATCHES * BATCH_SIZE;
    await fill(opened.database, { records, expired: records });
    await analyze(opened.database);
    return await besideOpenTransaction(opened, async () => {
      const durations: number[] = [];
      let next: string | undefined;
      while (durations.length < BATCHES) {
        const batch = await opened.store.purge(BATCH_SIZE, start(next));
        next = batch.next;
        durations.push(batch.busyMs);
      }
      return {
        firstMs: medianOf(durations.slice(0, COMPARED)),
        lastMs: medianOf(durations.slice(-COMPARED)),
      };
    });
  } finally {
    await opened.close();
  }
}

/** Runs `work` while another connection has a transaction with a transaction id open. */
async function besideOpenTransaction<T>({ database }: OpenStore, work: () => Promise<T>): Promise<T> {
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let begun = () => {};
  const hasBegun = new Promise<void>((resolve) => {
    begun = resolve;
  });
  const holding = database.transaction(async () => {
    await database.query('SELECT pg_current_xact_id()');
    begun();
    await ended;
  });
  try {
    await Promise.race([hasBegun, holding]);
    return await work();
  } finally {
    end();
    await holding;
  }
}
