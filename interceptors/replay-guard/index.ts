export { executionSignal } from './execution.js';
export type { AnyServiceDefinition, GenericDefinition, GenericMessage } from './generic-definition.js';
export { createReplayGuard, type ReplayGuard, type ReplayGuardOptions } from './guard.js';
export type { GuardedMethodReport } from './guarded-methods.js';
export type { ModeSettings } from './modes.js';
export {
  type CallOutcome,
  type ObservedMethod,
  type ReplayGuardObserver,
  type StoreOperation,
  silentObserver,
} from './observer.js';
export { defaultPolicy, type GuardMode, type MethodPolicy } from './policy.js';
export type { QuotaOptions } from './quotas.js';
export type { Peppers } from './record-id.js';
export type { CipherKeys } from './reply-cipher.js';
export {
  type ScopeContext,
  type ScopeSource,
  ScopeUnavailableError,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  singleTenant,
} from './scope.js';
export { stableId } from './stable-id.js';
export { type StatusDetail, statusDetails } from './status-details.js';
export { step } from './step.js';
export * from './stores/errors.js';
export type { OpenStore } from './stores/open-store.js';
export { isForSeries, judgePlace, type PlaceVerdict, type SeriesRequest } from './stores/series/judge.js';
export type { FoundSeries, Gap, SeriesPlace, SeriesRefusal } from './stores/series/series.js';
export { type KeptReply, SequenceWindow, UnreadableWindowError, WINDOW } from './stores/series/window.js';
export type { Database, Dialect, Row, SqlColumn, SqlValue } from './stores/sql/database.js';
export type {
  Atomicity,
  Claim,
  ClaimRequest,
  ClaimResult,
  FoundRecord,
  IdempotencyStore,
  NotClaimed,
  SentTime,
} from './stores/store.js';
export {
  EPOCH_HEADER,
  ERROR_DOMAIN,
  EXPIRES_TRAILER,
  FIRST_SENT_HEADER,
  KEY_HEADER,
  PRODUCER_HEADER,
  REPLAYED_TRAILER,
  SEQUENCE_HEADER,
} from './wire-contract.js';
