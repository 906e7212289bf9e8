import { Metadata } from '@grpc/grpc-js';
import { EXPIRES_TRAILER, isGuardMetadata, REPLAYED_TRAILER } from '../../protocol/headers.js';
import type { Reply } from './reply.js';

/**
 * Returns a copy of a handler's metadata without the entries that only the guard may send. A handler may have copied
 * such entries from the reply of another guarded server. These entries describe another call.
 */
export function ownMetadata(sent: Metadata = new Metadata()): Metadata {
  const own = sent.clone();
  for (const name of Object.keys(own.getMap()).filter(isGuardMetadata)) own.remove(name);
  return own;
}

/** Returns the reply with a trailer that states when the retention of its key ends. */
export function withExpiry(reply: Reply, expiresAtMs: number): Reply {
  const trailing = reply.trailing.clone();
  trailing.set(EXPIRES_TRAILER, new Date(expiresAtMs).toISOString());
  return { ...reply, trailing };
}

/** Returns a stored reply with its expiry and a trailer that marks the reply as replayed. */
export function asReplayed(reply: Reply, expiresAtMs: number): Reply {
  const replayed = withExpiry(reply, expiresAtMs);
  replayed.trailing.set(REPLAYED_TRAILER, 'true');
  return replayed;
}
