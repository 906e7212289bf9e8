import { Metadata } from '@grpc/grpc-js';
import { EXPIRES_TRAILER, isGuardMetadata, REPLAYED_TRAILER } from '../../protocol/headers.js';
import type { Reply } from './reply.js';

/** A handler's own metadata. What it passes on from another guarded server says nothing of this call. */
export function ownMetadata(sent: Metadata = new Metadata()): Metadata {
  const own = sent.clone();
  for (const name of Object.keys(own.getMap()).filter(isGuardMetadata)) own.remove(name);
  return own;
}

/** The first reply, with the time until which its key is retained. */
export function withExpiry(reply: Reply, expiresAtMs: number): Reply {
  const trailing = reply.trailing.clone();
  trailing.set(EXPIRES_TRAILER, new Date(expiresAtMs).toISOString());
  return { ...reply, trailing };
}

/** A stored reply, marked as one. */
export function asReplayed(reply: Reply, expiresAtMs: number): Reply {
  const replayed = withExpiry(reply, expiresAtMs);
  replayed.trailing.set(REPLAYED_TRAILER, 'true');
  return replayed;
}
