import type { DynamicModule, FactoryProvider, ModuleMetadata } from '@nestjs/common';
import { assertKnownOptions } from '../options/known-options.js';
import { assertWholeNumber, MAX_TIMER_MS } from '../options/whole-number.js';
import { createReplayGuard, type ReplayGuard, type ReplayGuardOptions } from '../replay-guard/index.js';
import type { OpenStore } from '../store/open-store.js';
import { REPLAY_GUARD, REPLAY_GUARD_DATABASE, REPLAY_GUARD_STORE } from './tokens.js';

/** The options of `ReplayGuardModule`: the options of `createReplayGuard`, with `open` in place of `store`. */
export interface ReplayGuardModuleOptions extends Omit<ReplayGuardOptions, 'store'> {
  /**
   * Opens the store and the database, for example `() => openPostgres({ connectionString })`. The module calls it once for
   * each application, and calls `close` of the result when the application has shut down.
   */
  readonly open: () => OpenStore | Promise<OpenStore>;
  /**
   * How long running executions may take to end when the application shuts down, in milliseconds, at most 24 days.
   * Executions that still run then are rolled back. Default: 30,000.
   */
  readonly closeTimeoutMs?: number;
}

/** The options of `ReplayGuardModule.forRootAsync`. */
export interface ReplayGuardModuleAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** The providers whose values `useFactory` receives, such as a service for the configuration. Default: none. */
  readonly inject?: NonNullable<FactoryProvider['inject']>;
  /** Returns the options of the module, or a promise for them. */
  readonly useFactory: FactoryProvider<ReplayGuardModuleOptions>['useFactory'];
}

/** How long after the hooks of the start a server has time to add its services, in milliseconds. */
const CHECK_AFTER_MS = 5_000;

/** The injection token of the options of the module. */
const OPTIONS = Symbol('grpc-replay-guard/nestjs/options');

/**
 * A global module of NestJS with a guard, its store and its database. Install the guard into the gRPC server of the
 * application by `guardedGrpc`. When the application shuts down, the running executions end first, and then the store is
 * closed.
 */
// biome-ignore lint/complexity/noStaticOnlyClass: NestJS identifies a module by its class
export class ReplayGuardModule {
  /**
   * Returns the module with constant options.
   * @throws TypeError when the application starts and an option is missing, unknown or invalid
   */
  static forRoot(options: ReplayGuardModuleOptions): DynamicModule {
    return moduleWith({ provide: OPTIONS, useValue: options });
  }

  /**
   * Returns the module with options from a factory, which may use other providers.
   * @throws TypeError when an option of this method is unknown, or `useFactory` is not a function
   * @throws TypeError when the application starts and an option is missing, unknown or invalid
   */
  static forRootAsync(options: ReplayGuardModuleAsyncOptions): DynamicModule {
    assertKnownOptions<ReplayGuardModuleAsyncOptions>('ReplayGuardModule.forRootAsync', options, {
      ...{ imports: true, inject: true, useFactory: true },
    });
    const { imports = [], inject = [], useFactory } = options;
    if (typeof useFactory !== 'function')
      throw new TypeError('ReplayGuardModule: the option useFactory is required and must be a function');
    return { ...moduleWith({ provide: OPTIONS, inject, useFactory }), imports };
  }
}

function moduleWith(options: NonNullable<DynamicModule['providers']>[number]): DynamicModule {
  const fromOpen = (provide: symbol, useFactory: (opened: OpenGuard) => unknown) => ({
    provide,
    inject: [OpenGuard],
    useFactory,
  });
  return {
    module: ReplayGuardModule,
    global: true,
    providers: [
      options,
      { provide: OpenGuard, inject: [OPTIONS], useFactory: openGuard },
      fromOpen(REPLAY_GUARD, ({ guard }) => guard),
      fromOpen(REPLAY_GUARD_STORE, ({ store }) => store),
      fromOpen(REPLAY_GUARD_DATABASE, ({ store }) => store.database),
    ],
    exports: [REPLAY_GUARD, REPLAY_GUARD_STORE, REPLAY_GUARD_DATABASE],
  };
}

/** A guard and its store. NestJS calls the hook when its servers are closed. */
class OpenGuard {
  readonly guard: ReplayGuard;
  readonly store: OpenStore;
  #check: NodeJS.Timeout | undefined;

  constructor(guard: ReplayGuard, store: OpenStore) {
    this.guard = guard;
    this.store = store;
  }

  /** NestJS calls the hook before its servers add their services. */
  onApplicationBootstrap(): void {
    this.#check = setTimeout(() => warnIfUnused(this.guard), CHECK_AFTER_MS).unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.#check);
    try {
      await this.guard.close();
    } finally {
      await this.store.close();
    }
  }
}

/** Without a protected method the server of the application has no interceptor that could warn. */
function warnIfUnused(guard: ReplayGuard): void {
  if (guard.methods().length > 0) return;
  process.emitWarning(
    'the guard of ReplayGuardModule protects no method, so the calls of this application run unguarded: ' +
      'make its gRPC transport by guardedGrpc(guard, options)',
    { type: 'ReplayGuardWarning', code: 'REPLAY_GUARD_NOT_PROTECTED' },
  );
}

async function openGuard(moduleOptions: ReplayGuardModuleOptions): Promise<OpenGuard> {
  const { open, closeTimeoutMs, ...options } = assertOptions(moduleOptions);
  const store = await open();
  if (typeof store?.close !== 'function' || !store.store)
    throw new TypeError('ReplayGuardModule: open must return the result of openSqlite or openPostgres');
  try {
    const guard = createReplayGuard({ ...options, store: store.store });
    const timeLimit = closeTimeoutMs === undefined ? {} : { timeoutMs: closeTimeoutMs };
    return new OpenGuard({ ...guard, close: (given = timeLimit) => guard.close(given) }, store);
  } catch (error) {
    // NestJS calls no hooks when a provider cannot be made, so the connections are closed here.
    await store.close();
    throw error;
  }
}

function assertOptions(options: ReplayGuardModuleOptions): ReplayGuardModuleOptions {
  assertKnownOptions<ReplayGuardModuleOptions>('ReplayGuardModule', options, {
    ...{ open: true, closeTimeoutMs: true, scope: true, mode: true, retentionMs: true, policies: true },
    ...{ descriptors: true, pepper: true, cipherKey: true, quotas: true, waitersPerKey: true, waiters: true },
    ...{ storeTimeoutMs: true, purgeEveryMs: true, observer: true, tracing: true },
  });
  if (typeof options.open !== 'function')
    throw new TypeError('ReplayGuardModule: the option open is required and must be a function');
  assertWholeNumber('closeTimeoutMs', options.closeTimeoutMs, { min: 0, max: MAX_TIMER_MS - 1_000 });
  return options;
}
