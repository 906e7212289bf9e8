export { createReplayGuard, type ReplayGuard, type ReplayGuardOptions } from './guard.js';
export { KEY_HEADER } from './key.js';
export {
  type CallOutcome,
  type ObservedMethod,
  type ReplayGuardObserver,
  type StoreOperation,
  silentObserver,
} from './observer.js';
export { defaultPolicy, type GuardMode, type MethodPolicy } from './policy.js';
export { ERROR_DOMAIN } from './refusal.js';
export {
  type ScopeContext,
  type ScopeSource,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  singleTenant,
} from './scope.js';
export { stableId } from './stable-id.js';
export { type StatusDetail, statusDetails } from './status-details.js';
export * from './stores/errors.js';
export type { OpenStore } from './stores/open-store.js';
export type { Database, Row, SqlColumn, SqlValue } from './stores/sql/database.js';
export type { Atomicity, Claim, ClaimRequest, ClaimResult, IdempotencyStore } from './stores/store.js';
export { EXPIRES_TRAILER, REPLAYED_TRAILER } from './trailers.js';
