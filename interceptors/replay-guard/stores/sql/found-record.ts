import { isTooFarAhead, isTooOld } from '../sent-time.js';
import type { ClaimRequest, ClaimResult, FoundRecord } from '../store.js';
import type { Row } from './database.js';
import { COMPLETED, ERASED } from './records.js';

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
export function answerTo(
  request: ClaimRequest,
  row: Row,
): Exclude<ClaimResult, { claim: unknown }> | undefined {
  const now = Number(row.now);
  if (isTooFarAhead(request, now)) return { outcome: 'expired' };
  return toFound(row) ?? (isTooOld(request, now) ? { outcome: 'expired' } : undefined);
}
