import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { Descriptors } from '../descriptors/descriptor-set.js';
import { type ReceivedRequest, type RequestReader, requestReader } from '../fingerprint/fingerprint.js';
import type { ObservedMethod } from '../observer.js';
import type { Policies } from '../policy/configured-policies.js';
import type { MethodPolicy } from '../policy/policy.js';
import type { MethodOptions } from '../policy/proto-option.js';
import { readProtoMethod } from './proto-method.js';

/** A method whose calls are guarded: its policy, and the codecs that its definition came with. */
export interface GuardedMethod {
  readonly path: string;
  /** Whether it answers with a stream of messages. */
  readonly streams: boolean;
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

/** A service as it is to be registered, and its methods that can be guarded and those that cannot. */
export interface ProtectedService<T> {
  readonly definition: T;
  readonly methods: readonly GuardedMethod[];
  readonly unguardable: readonly { readonly path: string; readonly policy: MethodPolicy }[];
}

/**
 * Reads the policies of a service's methods, and returns the definition to register it with: its methods
 * remember each request's fingerprint and let stored replies through verbatim. Methods without side effects are
 * left alone.
 * @throws TypeError a policy is invalid, or for a method that the service does not have
 */
export function protectService<T extends ServiceDefinition>(
  definition: T,
  policies: Policies,
  descriptors?: Descriptors,
): ProtectedService<T> {
  policies.assertFor(Object.values(definition).map(({ path }) => path));
  const methods: GuardedMethod[] = [];
  const unguardable: { path: string; policy: MethodPolicy }[] = [];
  const entries = Object.entries(definition as Record<string, AnyMethod>).map(([name, method]) => {
    const declared = readProtoMethod(method, descriptors);
    if (declared.hasNoSideEffects) {
      policies.assertNone(method.path, declared.policy);
      return [name, method];
    }
    const policy = policies.effective(method.path, declared.policy);
    if (method.requestStream) {
      unguardable.push({ path: method.path, policy });
      return [name, method];
    }
    const read = requestReader(method.path, policy, declared.request);
    const received: Received = new WeakMap();
    methods.push(guardedMethod(method, policy, read, received));
    return [name, { ...method, ...codecs(method, read, received) }];
  });
  return { definition: Object.fromEntries(entries) as T, methods, unguardable };
}

/** By the message that each was decoded to. */
type Received = WeakMap<object, ReceivedRequest>;

function guardedMethod(
  method: AnyMethod,
  policy: MethodPolicy,
  read: RequestReader,
  received: Received,
): GuardedMethod {
  const [, service = '', name = ''] = method.path.split('/');
  return {
    path: method.path,
    streams: method.responseStream,
    policy,
    observed: { service, method: name },
    fingerprint: (message) =>
      (received.get(message) ?? read(method.requestSerialize(message))).fingerprint(message),
    serialize: (response) => method.responseSerialize(response),
  };
}

function codecs(method: AnyMethod, read: RequestReader, received: Received) {
  return {
    requestDeserialize: (bytes: Buffer) => {
      const request = read(bytes);
      const message = method.requestDeserialize(request.wire) as object;
      received.set(message, request);
      return message;
    },
    responseSerialize: (response: unknown) =>
      response instanceof Verbatim ? response.bytes : method.responseSerialize(response),
  };
}
