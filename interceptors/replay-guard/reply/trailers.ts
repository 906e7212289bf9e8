import { EXPIRES_TRAILER, REPLAYED_TRAILER } from '../../protocol/headers.js';
import { formatTime, MAX_TIME_MS } from '../../protocol/rfc3339.js';
import type { Reply } from './reply.js';

/**
 * Adds or changes the trailer that states when the retention of the key ends. Returns the same reply. An expiry after the
 * year 9999, which an earlier version accepted, is stated as the end of that year.
 */
export function addExpiry(reply: Reply, expiresAtMs: number): Reply {
  reply.trailing.set(EXPIRES_TRAILER, formatTime(Math.min(expiresAtMs, MAX_TIME_MS)));
  return reply;
}

/** Adds the expiry and a trailer that marks the reply as replayed. Returns the same reply. */
export function addReplayed(reply: Reply, expiresAtMs: number): Reply {
  reply.trailing.set(REPLAYED_TRAILER, 'true');
  return addExpiry(reply, expiresAtMs);
}
