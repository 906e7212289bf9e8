import type { ServerInterceptor } from '@grpc/grpc-js';
import { assertKnownOptions } from '../options/known-options.js';
import { completeObserver } from '../options/observer.js';
import { assertPart } from '../options/part.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../options/whole-number.js';
import type { IdempotencyStore } from '../store/store.js';
import { GuardedCall } from './call/guarded-call.js';
import { watchHeaders } from './call/hidden-entries.js';
import { MisregisteredCall } from './call/misregistered-call.js';
import { SafeTracing } from './call/safe-tracing.js';
import { UnguardedCall } from './call/unguarded-call.js';
import { Claimer } from './lifecycle/claim.js';
import { type ClosedGuard, type CloseOptions, endsWithin, ROLLBACK_MS } from './lifecycle/closing.js';
import { Committer } from './lifecycle/commit.js';
import { EnforceLifecycle } from './lifecycle/enforce.js';
import { Executor } from './lifecycle/execute.js';
import { catchHandlerRejections } from './lifecycle/handler-rejections.js';
import { InFlightCalls } from './lifecycle/in-flight.js';
import { ObserveLifecycle } from './lifecycle/observe.js';
import { Waiters } from './lifecycle/waiters.js';
import { assertServiceDefinition } from './method/assert-service.js';
import { type GuardedMethodReport, GuardedMethods } from './method/guarded-methods.js';
import { type AnyServiceDefinition, mapService } from './method/service-definition.js';
import { type ObservedGuard, observerMethods, type ReplayGuardObserver } from './observer.js';
import { OperationReader } from './operation/operation.js';
import { operationIdentifier, type Peppers } from './operation/operation-id.js';
import { scopeDigester } from './operation/stored-form.js';
import { type ModeSettings, Modes } from './policy/modes.js';
import type { GuardMode, MethodPolicy } from './policy/policy.js';
import type { CipherKeys } from './reply/reply-cipher.js';
import { ReplyCodec } from './reply/reply-codec.js';
import { scopeFromPeerCertificate } from './scope/certificate.js';
import { isScope, type ScopeSource, singleTenant } from './scope/scope.js';
import { type ErasedScope, ObservedStore } from './store-access/observed-store.js';
import { Pruner } from './store-access/pruner.js';
import { type QuotaOptions, Quotas } from './store-access/quotas.js';
import { StoredForms } from './store-access/stored-forms.js';
import type { CallTracing } from './tracing.js';

/** The options of `createReplayGuard`. */
export interface ReplayGuardOptions {
  /** The store of keys and replies. */
  readonly store: IdempotencyStore;
  /** Returns the scope of a call: the verified identity of its caller. Two scopes never share a key. */
  readonly scope: ScopeSource;
  /** The mode of methods whose policy has no mode. Default: ENFORCE. */
  readonly mode?: GuardMode;
  /**
   * How long keys and replies are retained, in milliseconds, for methods whose policy has no retention. At least 1,000
   * and at least the lease, at most 100 years. Default: 86,400,000 (24 hours).
   */
  readonly retentionMs?: number;
  /** Policies by full method path. Each field has precedence over the policy in the `.proto` file. */
  readonly policies?: Readonly<Record<string, Partial<MethodPolicy>>>;
  /**
   * The bytes of a FileDescriptorSet or a buf image (`buf build -o image.binpb`) of the services' `.proto` files. The
   * guard reads policies, idempotency levels and request schemas from the set, if a service definition does not have
   * them.
   */
  readonly descriptors?: Uint8Array;
  /**
   * A secret for the hashes of keys, scopes and requests at rest. After a change, all retained keys are unknown, unless
   * `previous` contains the earlier pepper. Default: keys, scopes and requests are hashed without a secret.
   */
  readonly pepper?: string | Buffer | Peppers;
  /** An AES-256 key of 32 bytes that encrypts stored replies. Default: replies are stored in plain form. */
  readonly cipherKey?: Buffer | CipherKeys;
  /** Limits for each scope. Default: only the number of waiting calls is limited, see `waitingPerScope`. */
  readonly quotas?: QuotaOptions;
  /**
   * How many duplicates of one key may wait in this process at the same time. Further duplicates are refused as in
   * progress. At least 1. Default: 1,000. See `quotas.waitingPerScope` for the limit of one scope.
   */
  readonly waitersPerKey?: number;
  /** How many calls of all scopes may wait in this process at the same time. At least 1. Default: 10,000. */
  readonly waiters?: number;
  /**
   * The time limit of one operation on the store, in milliseconds, from 1 to 2^31 - 1. The limit applies in addition to
   * the time-outs of the store. At the limit a claim is refused, and a commit is in doubt. A claim that succeeds later
   * is released. Default: 30,000.
   */
  readonly storeTimeoutMs?: number;
  /** The interval at which expired records are deleted, in milliseconds, from 1 to 2^31 - 1. Default: 60,000. */
  readonly purgeEveryMs?: number;
  /** One observer or a list. Each receives the events of the guard. Methods may be omitted. Default: no observer. */
  readonly observer?: Partial<ReplayGuardObserver> | readonly Partial<ReplayGuardObserver>[];
  /**
   * Follows each guarded call across processes, for example `createOpenTelemetryTracing()`. Default: calls are not traced.
   */
  readonly tracing?: CallTracing;
}

/** A guard for the methods of a gRPC server. */
export interface ReplayGuard {
  /**
   * The interceptor for `new Server({ interceptors: [...] })`. Place the interceptor after the interceptors for
   * authentication and metrics. An interceptor after the guard receives the requests of executions only.
   */
  readonly interceptor: ServerInterceptor;
  /**
   * Guards the methods of a service: `server.addService(guard.protect(definition), handlers)`.
   * A server that has the service without the returned definition refuses the calls of its guarded methods with INTERNAL.
   * @returns a definition of the same form
   * @throws TypeError when the argument is not the definition of a service; the message names what to pass
   * @throws TypeError when a policy is invalid or names a method that the service does not have
   * @throws TypeError when a method with streaming requests would be guarded
   */
  protect<T extends AnyServiceDefinition>(definition: T): T;
  /** Returns the guarded methods, each with its policy and its current mode. */
  methods(): GuardedMethodReport[];
  /**
   * Changes the modes of methods while the server runs. The new modes apply from the next call on. The settings
   * replace the settings of an earlier call of `setModes`.
   * @throws TypeError when a mode or a method is unknown, or a method with streaming requests would be guarded
   */
  setModes(settings: ModeSettings): void;
  /**
   * Returns the digest by which observers, and so the log lines of `createLogObserver`, name a scope: 16 characters. With
   * a pepper, all servers with this pepper return the same digest. Without one, the digest differs in each guard.
   * @param scope the scope as the guard's scope source returns it
   */
  scopeDigest(scope: string): string;
  /**
   * Erases the stored replies of a scope. The keys remain known until their expiry. A retry of a key is refused as
   * DATA_LOSS, and a retry of a sequence as expired. Running calls are not affected.
   * @param scope the scope as the guard's scope source returns it
   * @throws TypeError when no caller can have the scope: it is empty, or has an unpaired surrogate
   * @throws DatabaseUnavailableError, CommitInDoubtError when the erasure is incomplete; another call erases the
   *   remaining records
   */
  eraseScope(scope: string): Promise<ErasedScope>;
  /**
   * Refuses the waiting duplicates and resolves when the running executions have ended. Executions that still run after
   * `timeoutMs` are rolled back, and their calls are refused as UNAVAILABLE, `IDEMPOTENCY_LEASE_LOST`. The promise
   * resolves within `timeoutMs` and one second, also when a handler never ends or the store does not answer. The store
   * must stay open until the promise resolves. Further calls of `close` return the promise of the first call.
   * @throws TypeError when an option is unknown or invalid
   */
  close(options?: CloseOptions): Promise<ClosedGuard>;
}

/**
 * Creates a guard that executes each idempotency key once and answers duplicates with the first reply.
 * @throws TypeError when an option is missing, unknown or invalid. The message names the option.
 */
export function createReplayGuard(options: ReplayGuardOptions): ReplayGuard {
  assertOptions(options);
  const observer = completeObserver(options.observer, observerMethods);
  const tracing = options.tracing && new SafeTracing(options.tracing);
  const store = new ObservedStore(options.store, observer, options.storeTimeoutMs ?? 30_000);
  const forms = new StoredForms(options.pepper, store.marks);
  const scopeDigest = scopeDigester(options.pepper);
  const quotas = new Quotas(options.quotas ?? {}, store, forms);
  const codec = new ReplyCodec(options.cipherKey);
  const operations = new OperationReader(options.scope, operationIdentifier(options.pepper));
  const claimer = new Claimer(store, forms, quotas);
  const executor = new Executor(store, observer);
  const committer = new Committer(store, codec, observer);
  const { waitersPerKey: perKey = 1_000, waiters: total = 10_000 } = options;
  const waiters = new Waiters({ perKey, perScope: quotas.waitingPerScope(total), total }, quotas, observer);
  const enforce = new EnforceLifecycle({
    ...{ operations, claimer, executor, committer, quotas, codec, waiters, observer, scopeDigest },
    inFlight: new InFlightCalls(),
  });
  const observe = new ObserveLifecycle({ operations, claimer, store, codec, observer });
  const methods = new GuardedMethods(new Modes(options.mode), options, observer);
  const pruner = new Pruner(store, observer, options.purgeEveryMs);
  pruner.start();
  const { running } = executor;
  const observedGuard: ObservedGuard = { waiting: total, oldestExecutions: () => running.oldest() };
  observer.guardCreated(observedGuard);
  watchHeaders();
  const stopCatching = catchHandlerRejections();
  let closed: Promise<ClosedGuard> | undefined;

  async function close(timeoutMs: number): Promise<ClosedGuard> {
    // The timers of these waits keep the process alive until every call has ended.
    const [enforced, observed] = await Promise.all([
      enforce.close(timeoutMs),
      observe.close(timeoutMs),
      endsWithin(pruner.stop(), timeoutMs + ROLLBACK_MS),
    ]);
    store.stop();
    observer.guardClosed(observedGuard);
    // The handler of a stopped execution may still reject, because its writes fail.
    if (enforced.stopped === 0) stopCatching();
    return { stopped: enforced.stopped, unfinished: enforced.unfinished + observed.unfinished };
  }

  return {
    interceptor: ({ path, requestDeserialize, responseSerialize }, call) => {
      methods.warnOfUnused();
      const method = methods.find(path, requestDeserialize);
      const mode = method && methods.modeOf(method);
      if (!method || mode === 'OFF') return new UnguardedCall(call, method);
      // A second claim of the same call would wait for the first one.
      if (GuardedCall.isGuarded(call, method)) return methods.pass(method, call);
      const isRegistered = methods.isRegistered(method, responseSerialize);
      if (mode === 'OBSERVE') return new GuardedCall(call, method, observe, tracing);
      return isRegistered ? new GuardedCall(call, method, enforce, tracing) : new MisregisteredCall(call);
    },
    protect: (definition) => {
      assertServiceDefinition(definition);
      return mapService(definition, (service) => methods.protect(service));
    },
    methods: () => methods.report(),
    setModes: (settings) => methods.setModes(settings),
    scopeDigest,
    eraseScope: async (scope) => {
      if (!isScope(scope)) throw new TypeError('a scope must be a text without unpaired surrogates');
      return store.eraseScopes(forms.allScopes(scope));
    },
    close: (options = {}) => {
      const timeoutMs = assertCloseOptions(options);
      closed ??= close(timeoutMs);
      return closed;
    },
  };
}

/**
 * Returns the time limit of a close, in milliseconds.
 * @throws TypeError when an option is unknown or invalid
 */
function assertCloseOptions(options: CloseOptions): number {
  assertKnownOptions<CloseOptions>('close', options, { timeoutMs: true });
  const { timeoutMs = 30_000 } = options;
  assertWholeNumber('timeoutMs', timeoutMs, { min: 0, max: MAX_TIMER_MS - ROLLBACK_MS });
  return timeoutMs;
}

/** What the guard needs of a store of any author. */
const storePart = {
  methods: ['claim', 'find', 'findProducer', 'purge', 'estimateRecords', 'countLive', 'erase', 'ping'],
  expected:
    'a store: `store` of what openSqlite or openPostgres resolves to, or what createMemoryStore returns',
};

/** Functions that return a scope source and need no argument. Used as a source they would give no call a scope. */
const scopeFactories: ReadonlySet<unknown> = new Set([singleTenant, scopeFromPeerCertificate]);

function assertOptions(options: ReplayGuardOptions): void {
  assertKnownOptions<ReplayGuardOptions>('createReplayGuard', options, {
    store: true,
    scope: true,
    mode: true,
    retentionMs: true,
    policies: true,
    descriptors: true,
    pepper: true,
    cipherKey: true,
    quotas: true,
    waitersPerKey: true,
    waiters: true,
    storeTimeoutMs: true,
    purgeEveryMs: true,
    observer: true,
    tracing: true,
  });
  if (!options.store) throw new TypeError('createReplayGuard: the option store is required');
  assertPart('createReplayGuard: the option store', options.store, storePart);
  if (typeof options.scope !== 'function')
    throw new TypeError('createReplayGuard: the option scope is required and must be a function');
  if (scopeFactories.has(options.scope))
    throw new TypeError(`createReplayGuard: the option scope needs a call: ${options.scope.name}()`);
  for (const name of ['waitersPerKey', 'waiters'] as const) assertWholeNumber(name, options[name]);
  for (const name of ['storeTimeoutMs', 'purgeEveryMs'] as const)
    assertWholeNumber(name, options[name], { max: MAX_TIMER_MS });
  const { pepper } = options;
  if (typeof pepper === 'object' && !Buffer.isBuffer(pepper))
    assertKnownOptions<Peppers>('pepper', pepper, {
      current: true,
      previous: true,
      next: true,
      covers: true,
    });
}
