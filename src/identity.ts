import {
  type ScopeSource,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  singleTenant,
} from 'grpc-replay-guard';
import type { CallerIdentity } from './settings.js';

/** Where the guard takes the caller's identity from. */
export function scopeFor(identity: CallerIdentity): ScopeSource {
  switch (identity.kind) {
    case 'single':
      return singleTenant();
    case 'metadata':
      return scopeFromMetadata(identity.name);
    case 'mtls':
      return scopeFromPeerCertificate();
  }
}
