import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import { completeObserver } from '../options/observer.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../options/whole-number.js';
import type { IdempotencyStore } from '../store/store.js';
import { GuardedCall } from './call/guarded-call.js';
import { Claimer } from './lifecycle/claim.js';
import { Committer } from './lifecycle/commit.js';
import { EnforceLifecycle } from './lifecycle/enforce.js';
import { Executor } from './lifecycle/execute.js';
import { catchHandlerRejections } from './lifecycle/handler-rejections.js';
import { InFlightCalls } from './lifecycle/in-flight.js';
import { ObserveLifecycle } from './lifecycle/observe.js';
import { type GuardedMethodReport, GuardedMethods } from './method/guarded-methods.js';
import { type AnyServiceDefinition, mapService } from './method/service-definition.js';
import { observerMethods, type ReplayGuardObserver } from './observer.js';
import { OperationReader } from './operation/operation.js';
import { operationIdentifier, type Peppers } from './operation/operation-id.js';
import { type ModeSettings, Modes } from './policy/modes.js';
import type { GuardMode, MethodPolicy } from './policy/policy.js';
import type { CipherKeys } from './reply/reply-cipher.js';
import { ReplyCodec } from './reply/reply-codec.js';
import type { ScopeSource } from './scope/scope.js';
import { eraseScope } from './store-access/erasure.js';
import { ObservedStore } from './store-access/observed-store.js';
import { Pruner } from './store-access/pruner.js';
import { type QuotaOptions, Quotas } from './store-access/quotas.js';

export interface ReplayGuardOptions {
  /** Where keys and replies are kept. */
  readonly store: IdempotencyStore;
  /** Who is calling; two scopes never share a key. There is no default. */
  readonly scope: ScopeSource;
  /** For methods whose policy does not say. Default: ENFORCE. */
  readonly mode?: GuardMode;
  /** Retention in milliseconds, for methods whose policy does not say. Default: 24 hours. */
  readonly retentionMs?: number;
  /** Policies by full method path; each field wins over what the `.proto` declares. */
  readonly policies?: Readonly<Record<string, Partial<MethodPolicy>>>;
  /**
   * The bytes of a FileDescriptorSet or a buf image (`buf build -o image.binpb`), built from the same `.proto` files
   * as the services: policies, idempotency levels and request schemas for definitions that carry none.
   */
  readonly descriptors?: Uint8Array;
  /** A secret that keys are hashed with at rest. Changing it forgets every key, unless it names the previous. */
  readonly pepper?: string | Buffer | Peppers;
  /** An AES-256 key of 32 bytes that stored replies are encrypted with. Default: they are not. */
  readonly cipherKey?: Buffer | CipherKeys;
  /** What one scope may have at a time. Default: no limit. */
  readonly quotas?: QuotaOptions;
  /** How many duplicates of one key may wait in this process; the rest is sent away. Default: 1,000. */
  readonly waitersPerKey?: number;
  /** How many duplicates may wait in this process, over all keys. Default: 10,000. */
  readonly waiters?: number;
  /**
   * How long the store may take for one operation, in milliseconds: the last resort behind the time-outs of its
   * own. A claim is then refused and, should it succeed after all, released; a commit is in doubt. Default: 30,000.
   */
  readonly storeTimeoutMs?: number;
  /** How often expired records are deleted, in milliseconds. Default: one minute. */
  readonly purgeEveryMs?: number;
  readonly observer?: Partial<ReplayGuardObserver>;
}

export interface ReplayGuard {
  /** For `new Server({ interceptors: [...] })`, after authentication and metrics. */
  readonly interceptor: ServerInterceptor;
  /**
   * Names a service's methods as guarded: `server.addService(guard.protect(definition), handlers)`. What
   * it returns has the form that it was given.
   * @throws TypeError a policy is invalid or for a method that the service does not have, or a method whose
   * requests stream would be guarded
   */
  protect<T extends AnyServiceDefinition>(definition: T): T;
  /** The methods that were named so far, each with its policy and the mode that it is in now. */
  methods(): GuardedMethodReport[];
  /**
   * Changes modes while calls are served, from the next call on; replaces what was set so before.
   * @throws TypeError a mode or method is unknown, or a method whose requests stream would be guarded
   */
  setModes(settings: ModeSettings): void;
  /**
   * Erases what is stored of a scope's calls. Their keys stay known until they expire, so a retry is refused
   * as DATA_LOSS and never executes again, of a producer's sequences as expired; calls that are running are not
   * touched.
   * @param scope as the guard's scope source gives it
   * @returns how many records were erased
   */
  eraseScope(scope: string): Promise<number>;
  /** Answers waiting duplicates and waits for the running executions. Close the store after it. */
  close(): Promise<void>;
}

/**
 * Makes a guard that executes each idempotency key once and answers duplicates with the first reply.
 * @throws TypeError an option is missing or wrong
 */
export function createReplayGuard(options: ReplayGuardOptions): ReplayGuard {
  if (!options.store) throw new TypeError('createReplayGuard needs a store');
  if (typeof options.scope !== 'function')
    throw new TypeError('createReplayGuard needs a scope: who is calling');
  for (const name of ['waitersPerKey', 'waiters'] as const) assertWholeNumber(name, options[name]);
  for (const name of ['storeTimeoutMs', 'purgeEveryMs'] as const)
    assertWholeNumber(name, options[name], { max: MAX_TIMER_MS });
  const observer = completeObserver(options.observer, observerMethods);
  const store = new ObservedStore(options.store, observer, options.storeTimeoutMs ?? 30_000);
  const quotas = new Quotas(options.quotas ?? {}, store);
  const codec = new ReplyCodec(options.cipherKey);
  const operations = new OperationReader(options.scope, operationIdentifier(options.pepper));
  const claimant = new Claimer(store, quotas);
  const executor = new Executor(store, new Committer(store, codec, observer), observer);
  const flights = new InFlightCalls({
    perKey: options.waitersPerKey ?? 1_000,
    total: options.waiters ?? 10_000,
  });
  const coordinator = new EnforceLifecycle({
    operations,
    claimant,
    executor,
    quotas,
    codec,
    flights,
    observer,
  });
  const observation = new ObserveLifecycle({ operations, claimant, store, codec, observer });
  const methods = new GuardedMethods(new Modes(options.mode), options);
  const purger = new Pruner(store, observer, options.purgeEveryMs);
  const stopCatching = catchHandlerRejections();

  return {
    interceptor: ({ path }, call) => {
      methods.warnOfUnused();
      const method = methods.find(path);
      const mode = method && methods.modeOf(method);
      if (!method || mode === 'OFF') return new ServerInterceptingCall(call);
      return new GuardedCall(call, method, mode === 'OBSERVE' ? observation : coordinator);
    },
    protect: (definition) => mapService(definition, (service) => methods.protect(service)),
    methods: () => methods.report(),
    setModes: (settings) => methods.setModes(settings),
    eraseScope: (scope) => eraseScope(store, scope),
    close: async () => {
      await Promise.all([coordinator.close(), observation.close()]);
      await purger.stop();
      store.stop();
      stopCatching();
    },
  };
}
