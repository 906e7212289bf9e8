import { ServerInterceptingCall, type ServerInterceptor, type ServiceDefinition } from '@grpc/grpc-js';
import { Coordinator } from './coordinator.js';
import { Executor } from './executor.js';
import { GuardedCall } from './guarded-call.js';
import { type GuardedMethod, protectService } from './guarded-method.js';
import { ObservedStore } from './observed-store.js';
import { type ReplayGuardObserver, silentObserver } from './observer.js';
import { OperationReader } from './operation.js';
import { type GuardMode, type MethodPolicy, resolvePolicy } from './policy.js';
import { Purger } from './purger.js';
import { recordIdentifier } from './record-id.js';
import { catchHandlerRejections } from './rejections.js';
import type { ScopeSource } from './scope.js';
import type { IdempotencyStore } from './stores/store.js';

export interface ReplayGuardOptions {
  /** Where keys and replies are kept. */
  readonly store: IdempotencyStore;
  /** Who is calling; two scopes never share a key. There is no default. */
  readonly scope: ScopeSource;
  /** For methods whose policy does not say. Default: ENFORCE. */
  readonly mode?: GuardMode;
  /** Retention in milliseconds, for methods whose policy does not say. Default: 24 hours. */
  readonly ttlMs?: number;
  /** Policies by full method path; each field wins over what the `.proto` declares. */
  readonly policies?: Readonly<Record<string, Partial<MethodPolicy>>>;
  /** A secret that keys are hashed with at rest. Changing it forgets every key. */
  readonly pepper?: string | Buffer;
  readonly observer?: ReplayGuardObserver;
}

export interface ReplayGuard {
  /** For `new Server({ interceptors: [...] })`, after authentication and metrics. */
  readonly interceptor: ServerInterceptor;
  /**
   * Names a service's methods as guarded: `server.addService(guard.protect(definition), handlers)`.
   * @throws TypeError a policy is invalid, or a streaming method would be guarded
   */
  protect<T extends ServiceDefinition>(definition: T): T;
  /** Answers waiting duplicates and waits for the running executions. Close the store after it. */
  close(): Promise<void>;
}

/**
 * Makes a guard that executes each idempotency key once and answers duplicates with the first reply.
 * @throws TypeError a required option is missing
 */
export function createReplayGuard(options: ReplayGuardOptions): ReplayGuard {
  if (!options.store) throw new TypeError('createReplayGuard needs a store');
  if (typeof options.scope !== 'function')
    throw new TypeError('createReplayGuard needs a scope: who is calling');
  const observer = options.observer ?? silentObserver;
  const store = new ObservedStore(options.store, observer);
  const operations = new OperationReader(options.scope, recordIdentifier(options.pepper));
  const coordinator = new Coordinator(operations, store, new Executor(store, observer), observer);
  const purger = new Purger(store, observer);
  const stopCatching = catchHandlerRejections();
  const methods = new Map<string, GuardedMethod>();

  return {
    interceptor: ({ path }, call) => {
      const method = methods.get(path);
      if (!method) return new ServerInterceptingCall(call);
      return new GuardedCall(call, method, (arrived) => void coordinator.serve(arrived));
    },
    protect: (definition) => {
      const guarded = protectService(definition, (path, declared) => policyOf(options, path, declared));
      for (const method of guarded.methods) methods.set(method.path, method);
      return guarded.definition;
    },
    close: async () => {
      await coordinator.close();
      await purger.stop();
      stopCatching();
    },
  };
}

function policyOf(options: ReplayGuardOptions, path: string, declared: Partial<MethodPolicy>): MethodPolicy {
  const { mode, ttlMs } = options;
  const byServer = { ...(mode && { mode }), ...(ttlMs !== undefined && { ttlMs }) };
  return resolvePolicy(path, byServer, declared, options.policies?.[path] ?? {});
}
