import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { type Fingerprinter, fingerprinter } from './fingerprint.js';
import type { ObservedMethod } from './observer.js';
import type { MethodPolicy } from './policy.js';
import { declaredPolicy, type MethodOptions } from './policy-option.js';

/** A method whose calls are guarded: its policy, and the codecs that its definition came with. */
export interface GuardedMethod {
  readonly path: string;
  readonly policy: MethodPolicy;
  readonly observed: ObservedMethod;
  /** @param message a request as this method's definition decoded it */
  fingerprint(message: object): Buffer;
  serialize(response: unknown): Buffer;
}

/** Message bytes that go on the wire as they are, past the serializer. */
export class Verbatim {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

type AnyMethod = MethodDefinition<unknown, unknown> & { readonly options?: MethodOptions };

/** Gives the effective policy of a method from what it declares; called once per method, at start. */
export type PolicyResolver = (path: string, declared: Partial<MethodPolicy>) => MethodPolicy;

/**
 * Reads the policies of a service's methods, and returns the definition to register it with: its guarded
 * methods remember each request's bytes and let stored replies through verbatim.
 * @throws TypeError a policy is invalid, or a streaming method would be guarded
 */
export function protectService<T extends ServiceDefinition>(
  definition: T,
  resolve: PolicyResolver,
): { definition: T; methods: GuardedMethod[] } {
  const methods: GuardedMethod[] = [];
  const entries = Object.entries(definition as Record<string, AnyMethod>).map(([name, method]) => {
    const options = method.options ?? {};
    if (options.idempotency_level === 'NO_SIDE_EFFECTS') return [name, method];
    const policy = resolve(method.path, declaredPolicy(method.path, options));
    if (policy.mode === 'OFF') return [name, method];
    if (method.requestStream || method.responseStream) {
      throw new TypeError(`${method.path} streams, so it cannot be guarded: set its policy's mode to OFF`);
    }
    const wires = new WeakMap<object, Uint8Array>();
    methods.push(guardedMethod(method, policy, fingerprinter(method.path, method), wires));
    return [name, { ...method, ...codecs(method, wires) }];
  });
  return { definition: Object.fromEntries(entries) as T, methods };
}

function guardedMethod(
  method: AnyMethod,
  policy: MethodPolicy,
  fingerprint: Fingerprinter,
  wires: WeakMap<object, Uint8Array>,
): GuardedMethod {
  const [, service = '', name = ''] = method.path.split('/');
  return {
    path: method.path,
    policy,
    observed: { service, method: name },
    fingerprint: (message) => fingerprint(message, wires.get(message) ?? method.requestSerialize(message)),
    serialize: (response) => method.responseSerialize(response),
  };
}

function codecs(method: AnyMethod, wires: WeakMap<object, Uint8Array>) {
  return {
    requestDeserialize: (bytes: Buffer) => {
      const message = method.requestDeserialize(bytes) as object;
      wires.set(message, bytes);
      return message;
    },
    responseSerialize: (response: unknown) =>
      response instanceof Verbatim ? response.bytes : method.responseSerialize(response),
  };
}
