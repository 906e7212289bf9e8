import type { ServiceDefinition } from '@grpc/grpc-js';
import { type CustomStrategy, type GrpcOptions, ServerGrpc } from '@nestjs/microservices';
import { assertPart } from '../options/part.js';
import type { ReplayGuard } from '../replay-guard/index.js';

/** The options of the gRPC transport of NestJS, as in `{ transport: Transport.GRPC, options }`. */
export type GuardedGrpcOptions = GrpcOptions['options'];

/**
 * Returns the gRPC transport of NestJS with a guard, for `createMicroservice` and `connectMicroservice`. The guard is the
 * last of the interceptors in `channelOptions`. It protects every service of the packages in `options.package`, after
 * `onLoadPackageDefinition` has been called. When the server closes, it closes the guard too: waiting duplicates are
 * refused, and the running executions end. A guard therefore belongs to one application.
 *
 * The start of the application fails with the TypeError of `protect` if a policy is invalid. It also fails if a method with
 * a stream of requests has another mode than OFF.
 * @throws TypeError when `guard` is not a guard
 */
export function guardedGrpc(guard: ReplayGuard, options: GuardedGrpcOptions): CustomStrategy {
  assertPart('guardedGrpc: guard', guard, {
    methods: ['interceptor', 'protect', 'close'],
    expected: 'the guard that NestJS injects by REPLAY_GUARD',
  });
  return { strategy: new GuardedServer(guard, options) };
}

/** The gRPC server of NestJS. */
class GuardedServer extends ServerGrpc {
  readonly #guard: ReplayGuard;
  /** The errors of `protect`. */
  readonly #refused: readonly unknown[];

  constructor(guard: ReplayGuard, options: GuardedGrpcOptions) {
    const refused: unknown[] = [];
    super(withGuard(guard, options, (error) => refused.push(error)));
    this.#guard = guard;
    this.#refused = refused;
  }

  override loadProto(): ReturnType<ServerGrpc['loadProto']> {
    try {
      return super.loadProto();
    } catch (error) {
      // NestJS replaces the error of its hook by an error that names no cause.
      throw this.#refused[0] ?? error;
    }
  }

  override async close(): Promise<void> {
    // A graceful close waits for every call. The guard ends its waiting duplicates and limits its executions.
    const guardClosed = this.#guard.close();
    try {
      await super.close();
    } finally {
      const { stopped, unfinished } = await guardClosed;
      if (stopped + unfinished > 0)
        this.logger.warn(`the guard closed with ${stopped} stopped and ${unfinished} unfinished calls`);
    }
  }
}

function withGuard(
  guard: ReplayGuard,
  options: GuardedGrpcOptions,
  onRefused: (error: unknown) => void,
): GuardedGrpcOptions {
  const { channelOptions = {}, packageDefinition, onLoadPackageDefinition } = options;
  const { interceptors = [] } = channelOptions;
  return {
    ...options,
    channelOptions: { ...channelOptions, interceptors: [...interceptors, guard.interceptor] },
    // The hook replaces services in this object, which belongs to the application.
    ...(packageDefinition && { packageDefinition: { ...packageDefinition } }),
    onLoadPackageDefinition: (loaded, server) => {
      onLoadPackageDefinition?.(loaded, server);
      try {
        protectServices(guard, loaded, [options.package].flat());
      } catch (error) {
        onRefused(error);
        throw error;
      }
    },
  };
}

/** A loaded package: services, and descriptors of types, by their full names. */
type LoadedPackage = Record<string, ServiceDefinition | { readonly format: string }>;

/** Replaces the services of some packages, and of the packages inside them, by their protected forms. */
function protectServices(guard: ReplayGuard, loaded: LoadedPackage, packages: readonly string[]): void {
  for (const [name, definition] of Object.entries(loaded)) {
    // The gRPC loader tells descriptors from services by this property.
    if ('format' in definition) continue;
    const isServed = packages.some((of) => !of || name.startsWith(`${of}.`));
    if (isServed) loaded[name] = guard.protect(definition as ServiceDefinition);
  }
}
