export { executionSignal } from '../execution/execution.js';
export { stableId } from '../execution/stable-id.js';
export { step } from '../execution/step.js';
export { createReplayGuard, type ReplayGuard, type ReplayGuardOptions } from './guard.js';
export type { ClosedGuard, CloseOptions } from './lifecycle/closing.js';
export type { GuardedMethodReport } from './method/guarded-methods.js';
export type { AnyServiceDefinition, GenericDefinition, GenericMessage } from './method/service-definition.js';
export type {
  CallOutcome,
  ExceededQuota,
  ObservedGuard,
  ObservedMethod,
  ObservedRefusal,
  ReplayGuardObserver,
  StoreOperation,
} from './observer.js';
export type { Peppers } from './operation/operation-id.js';
export type { ModeSettings } from './policy/modes.js';
export { defaultPolicy, type GuardMode, type MethodPolicy } from './policy/policy.js';
export type { CipherKeys } from './reply/reply-cipher.js';
export {
  type CertificateIdentity,
  scopeFromPeerCertificate,
  scopeOfCertificate,
} from './scope/certificate.js';
export {
  type ScopeContext,
  type ScopeSource,
  ScopeUnavailableError,
  scopeFromMetadata,
  singleTenant,
} from './scope/scope.js';
export type { ErasedScope } from './store-access/observed-store.js';
export type { QuotaOptions } from './store-access/quotas.js';
export type { CallTrace, CallTracing, TracedEnd } from './tracing.js';
