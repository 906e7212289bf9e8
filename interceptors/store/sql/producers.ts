import type { Row, SqlValue } from '../../database/database.js';
import { grantSequence } from '../producer/sequence-claim.js';
import { decideSequence, isFinal, type SequenceRequest } from '../producer/sequence-rules.js';
import type { ClaimRequest, FoundProducer } from '../store.js';
import { type ClaimRules, hidden } from './claiming.js';
import { type RecordStatements, statementsOn } from './statements.js';

const NOTHING_KEPT = Buffer.alloc(0);

/**
 * The statements on the records of series, which know nothing of what is in a window.
 * @param claim the statement that claims, see `seriesText`
 */
export function seriesStatements(now: string, claim: string, forUpdate = ''): RecordStatements {
  const table = 'replay_guard_producers';
  return statementsOn(
    {
      table,
      claim,
      columns: 'fingerprint, replies, epoch, sequence, completed',
      completed: 'state = 1, completed = sequence, replies = $3',
      // The sequence is the next one again.
      release: `UPDATE ${table} SET state = 1`,
      claimParams,
    },
    now,
    forUpdate,
  );
}

function claimParams({ series }: ClaimRequest): SqlValue[] {
  return series ? [series.epoch, series.sequence, NOTHING_KEPT] : [];
}

/** What the row of a `find` tells; undefined where nothing is retained. */
export function toFoundSeries(row: Row): FoundProducer | undefined {
  if (row.state === null) return undefined;
  const found = {
    epoch: row.epoch as bigint,
    completed: row.completed as bigint,
    replies: row.replies as Buffer,
    expiresAtMs: Number(row.expires_at),
  };
  if (Number(row.state) > 0) return found;
  const [now, sequence] = [Number(row.now), row.sequence as bigint];
  const [ageMs, leaseLeftMs] = [now - Number(row.fence), Number(row.lease_until) - now];
  return { ...found, running: { sequence, fingerprint: row.fingerprint as Buffer, ageMs, leaseLeftMs } };
}

export const seriesRules = (statements: RecordStatements): ClaimRules<SequenceRequest> => ({
  statements,
  recordId: ({ series }) => series.id,
  answerTo: (request, row) => {
    if (row.hidden === 1n) return hidden(request);
    const verdict = decideSequence(request, toFoundSeries(row), Number(row.now));
    return verdict.outcome === 'claimable' ? undefined : verdict;
  },
  isFinal,
  grant: (request, claim) => grantSequence(claim, request, claim.row.replies as Buffer),
});
