import type { Row } from '../../database/database.js';
import { isTooFarAhead, isTooOld } from '../first-sent.js';
import type { ClaimRequest, FoundRecord, NotClaimed } from '../store.js';
import type { ClaimRules } from './claiming.js';
import { COMPLETED, ERASED, type RecordStatements } from './statements.js';

/** What the row of a `find` tells; undefined where nothing is retained. */
export function toFound(row: Row): FoundRecord | undefined {
  if (row.state === null) return undefined;
  const expiresAtMs = Number(row.expires_at);
  if (row.state === ERASED) return { outcome: 'erased', expiresAtMs };
  const fingerprint = row.fingerprint as Buffer;
  if (row.state === COMPLETED) {
    return { outcome: 'completed', fingerprint, reply: row.reply as Buffer, expiresAtMs };
  }
  const now = Number(row.now);
  const [ageMs, leaseLeftMs] = [now - Number(row.fence), Number(row.lease_until) - now];
  return { outcome: 'in-progress', fingerprint, ageMs, leaseLeftMs };
}

/** What a call is told by the row of a `find`; undefined where it may ask for the key. */
function answerTo(request: ClaimRequest, row: Row): NotClaimed | undefined {
  const now = Number(row.now);
  if (isTooFarAhead(request, now)) return { outcome: 'expired' };
  return toFound(row) ?? (isTooOld(request, now) ? { outcome: 'expired' } : undefined);
}

export const keyRules = (statements: RecordStatements): ClaimRules<ClaimRequest> => ({
  statements,
  recordId: ({ id }) => id,
  answerTo,
  isFinal: (answer) => !(answer.outcome === 'in-progress' && answer.leaseLeftMs <= 0),
  grant: async (_request, claim) => ({ outcome: 'claimed', claim }),
});
