import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

type DeclaredMethod = MethodDefinition<unknown, unknown> & {
  readonly options?: { readonly idempotency_level?: unknown };
};

/**
 * Returns the paths of the methods whose `.proto` file declares NO_SIDE_EFFECTS, for the option `skip`. The service
 * definitions must come from `@grpc/proto-loader`, because generated code does not keep the option.
 */
export function readMethodsOf(...services: readonly ServiceDefinition[]): string[] {
  const methods = services.flatMap((service) => Object.values<DeclaredMethod>(service));
  return methods.filter(hasNoSideEffects).map(({ path }) => path);
}

const hasNoSideEffects = ({ options }: DeclaredMethod) => options?.idempotency_level === 'NO_SIDE_EFFECTS';
