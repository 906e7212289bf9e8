import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

type Declared = MethodDefinition<unknown, unknown> & {
  readonly options?: { readonly idempotency_level?: unknown };
};

/**
 * The paths of the methods that services declare NO_SIDE_EFFECTS, for `skip`. Told by definitions of
 * `@grpc/proto-loader`; those of generated code say nothing, and grpc-js tells interceptors nothing either.
 */
export function readMethodsOf(...services: readonly ServiceDefinition[]): string[] {
  const methods = services.flatMap((service) => Object.values<Declared>(service));
  return methods.filter(isRead).map(({ path }) => path);
}

const isRead = ({ options }: Declared) => options?.idempotency_level === 'NO_SIDE_EFFECTS';
