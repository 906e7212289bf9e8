import { X509Certificate } from 'node:crypto';
import { Metadata, type ServerInterceptor, status } from '@grpc/grpc-js';
import {
  type CallOutcome,
  type ClosedGuard,
  createReplayGuard,
  defaultPolicy,
  type ErasedScope,
  executionSignal,
  type GuardedMethodReport,
  type GuardMode,
  type MethodPolicy,
  type ReplayGuardObserver,
  type ReplayGuardOptions,
  type ScopeSource,
  ScopeUnavailableError,
  scopeFromMetadata,
  scopeFromPeerCertificate,
  scopeOfCertificate,
  singleTenant,
  stableId,
  step,
} from 'grpc-replay-guard';
import type { IdempotencyStore } from 'grpc-replay-guard/store';
import { expectType } from './expect-type.js';

declare const store: IdempotencyStore;
const scope = singleTenant();

// Valid and invalid options of createReplayGuard.
const guard = createReplayGuard({ store, scope });
// @ts-expect-error the store is missing
createReplayGuard({ scope });
// @ts-expect-error the scope is missing
createReplayGuard({ store });
createReplayGuard({ store, scope, retentionMs: 3_600_000 });
// @ts-expect-error an unknown option
createReplayGuard({ store, scope, ttlMs: 3_600_000 });
// @ts-expect-error undefined is not a mode: an option is absent or has a value
createReplayGuard({ store, scope, mode: undefined });
createReplayGuard({ store, scope, mode: 'OBSERVE' });
// @ts-expect-error an unknown mode
createReplayGuard({ store, scope, mode: 'observe' });
createReplayGuard({ store, scope, pepper: { current: 'a', previous: ['b'] } });
// @ts-expect-error a pepper is not a number
createReplayGuard({ store, scope, pepper: 1 });
createReplayGuard({ store, scope, cipherKey: Buffer.alloc(32) });
// @ts-expect-error a cipher key is not a text
createReplayGuard({ store, scope, cipherKey: 'secret' });

// Observers may be partial.
createReplayGuard({ store, scope, observer: {} });
createReplayGuard({ store, scope, observer: { callEnded: (_method, _outcome: CallOutcome) => {} } });
// @ts-expect-error an unknown method of an observer
createReplayGuard({ store, scope, observer: { callStarted: () => {} } });
// @ts-expect-error a method with another parameter
createReplayGuard({ store, scope, observer: { recordsPurged: (_count: string) => {} } });
const whole = {} as ReplayGuardObserver;
expectType<void>()(whole.recordsPurged(1));

// Policies: a part of the fields for each method, and every field is readonly.
createReplayGuard({ store, scope, policies: { '/a.B/C': { atomicity: 'LEASE', leaseMs: 1_000 } } });
// @ts-expect-error an unknown field of a policy
createReplayGuard({ store, scope, policies: { '/a.B/C': { lease: 1_000 } } });
// @ts-expect-error an unknown atomicity
createReplayGuard({ store, scope, policies: { '/a.B/C': { atomicity: 'NONE' } } });
expectType<MethodPolicy>()(defaultPolicy);
expectType<readonly status[]>()(defaultPolicy.replayedCodes);
expectType<'REQUIRED' | 'OPTIONAL'>()(defaultPolicy.key);
expectType<GuardMode | undefined>()(defaultPolicy.mode);
// @ts-expect-error fields are readonly
defaultPolicy.leaseMs = 1;
// @ts-expect-error lists are readonly
defaultPolicy.replayedCodes.push(status.ABORTED);
const options: ReplayGuardOptions = { store, scope };
// @ts-expect-error options are readonly
options.store = store;

// The guard.
expectType<ServerInterceptor>()(guard.interceptor);
expectType<GuardedMethodReport[]>()(guard.methods());
expectType<Promise<ErasedScope>>()(guard.eraseScope('single'));
expectType<Promise<ClosedGuard>>()(guard.close());
expectType<Promise<ClosedGuard>>()(guard.close({ timeoutMs: 1_000 }));
// @ts-expect-error the option is unknown
guard.close({ graceMs: 1_000 });
const definition = { C: { path: '/a.B/C', requestStream: false, responseStream: false } };
declare const service: Parameters<typeof guard.protect>[0] & { readonly mark: 1 };
expectType<typeof service>()(guard.protect(service));
// @ts-expect-error a definition has codecs
guard.protect(definition);
guard.setModes({ server: 'ENFORCE', methods: { '/a.B/C': 'OFF' } });
// @ts-expect-error an unknown mode of a method
guard.setModes({ methods: { '/a.B/C': 'ON' } });
// @ts-expect-error the interceptor is readonly
guard.interceptor = createReplayGuard(options).interceptor;

// Scopes: a text, or a promise of one, or undefined.
expectType<ScopeSource>()(scope);
expectType<ScopeSource>()(scopeFromMetadata('x-caller'));
expectType<ScopeSource>()(scopeFromPeerCertificate());
expectType<string>()(scopeOfCertificate(new X509Certificate('')));
expectType<string>()(scopeOfCertificate({ subjectaltname: 'DNS:a', fingerprint256: '' }));
// @ts-expect-error a certificate, not its PEM text
scopeOfCertificate('-----BEGIN CERTIFICATE-----');
const own: ScopeSource = async ({ metadata, peerCertificate }) =>
  peerCertificate?.fingerprint256 ?? String(metadata.get('x-caller')[0]);
expectType<string | undefined | Promise<string | undefined>>()(own({ metadata: new Metadata() }));
// @ts-expect-error a scope is not a number
(() => 1) satisfies ScopeSource;
// @ts-expect-error the name of the entry is missing
scopeFromMetadata();
const unavailable: Error = new ScopeUnavailableError('the directory does not answer', { cause: 1 });
expectType<string>()(unavailable.message);

// Inside a guarded call.
expectType<string>()(stableId('order'));
expectType<AbortSignal | undefined>()(executionSignal());
expectType<Promise<number>>()(step('charge', async () => 1));
// @ts-expect-error a step has a name
step(async () => 1);
