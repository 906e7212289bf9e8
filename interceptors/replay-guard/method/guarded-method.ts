import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { DescriptorSet } from '../descriptors/descriptor-set.js';
import { requestReader } from '../fingerprint/fingerprint.js';
import type { ObservedMethod } from '../observer.js';
import type { ConfiguredPolicies } from '../policy/configured-policies.js';
import type { MethodPolicy } from '../policy/policy.js';
import type { MethodOptions } from '../policy/proto-option.js';
import { readProtoMethod } from './proto-method.js';
import { ReceivedRequest, ReceivedRequests } from './received-request.js';

/** A method whose calls are guarded: its policy and its codecs. */
export interface GuardedMethod {
  /** The full method path, such as `/pkg.v1.Service/Method`. */
  readonly path: string;
  /** Whether the method returns a stream of messages. */
  readonly streams: boolean;
  readonly policy: MethodPolicy;
  /** The service and method names for the observer. */
  readonly observed: ObservedMethod;
  /**
   * Returns a request and its bytes, and forgets the bytes. Must be called once for each message, when grpc-js passes the
   * message on.
   * @param message a request that the protected definition decoded
   */
  receive(message: object): ReceivedRequest;
  /** Encodes a response message. */
  serialize(response: unknown): Buffer;
}

/** An encoded message. The protected definition sends the bytes unchanged and does not serialize them. */
export class Verbatim {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

type AnyMethod = MethodDefinition<unknown, unknown> & { readonly options?: MethodOptions };

/** The protected form of a service. */
export interface ProtectedService<T> {
  /** The definition to register at the server. */
  readonly definition: T;
  /** The methods that the guard can guard. */
  readonly methods: readonly GuardedMethod[];
  /** The methods with a stream of requests, which the guard cannot guard. */
  readonly unguardable: readonly { readonly path: string; readonly policy: MethodPolicy }[];
}

/**
 * Reads the policies of a service's methods and returns the protected form of the service. The methods of the
 * returned definition remember the bytes of each request when they decode the request. They send `Verbatim` bytes
 * unchanged. Methods without side effects are not changed.
 * @throws TypeError if a policy is invalid, or belongs to no method of the service
 */
export function protectService<T extends ServiceDefinition>(
  definition: T,
  policies: ConfiguredPolicies,
  descriptors?: DescriptorSet,
): ProtectedService<T> {
  policies.assertMethodsExist(Object.values(definition).map(({ path }) => path));
  const methods: GuardedMethod[] = [];
  const unguardable: { path: string; policy: MethodPolicy }[] = [];
  const entries = Object.entries(definition as Record<string, AnyMethod>).map(([name, method]) => {
    const declared = readProtoMethod(method, descriptors);
    if (declared.hasNoSideEffects) {
      policies.assertUnguarded(method.path, declared.policy);
      return [name, method];
    }
    const policy = policies.effective(method.path, declared.policy);
    if (method.requestStream) {
      unguardable.push({ path: method.path, policy });
      return [name, method];
    }
    const read = requestReader(method.path, policy, declared.requestSchema);
    const received = new ReceivedRequests();
    const receive = (message: object) =>
      new ReceivedRequest({ ...{ method, read, message }, encoded: received.take(message) });
    methods.push(guardedMethod(method, policy, receive));
    return [name, { ...method, ...codecs(method, received) }];
  });
  return { definition: Object.fromEntries(entries) as T, methods, unguardable };
}

function guardedMethod(
  method: AnyMethod,
  policy: MethodPolicy,
  receive: GuardedMethod['receive'],
): GuardedMethod {
  const [, service = '', name = ''] = method.path.split('/');
  return {
    path: method.path,
    streams: method.responseStream,
    policy,
    observed: { service, method: name },
    receive,
    serialize: (response) => method.responseSerialize(response),
  };
}

function codecs(method: AnyMethod, received: ReceivedRequests) {
  return {
    requestDeserialize: (bytes: Buffer) => {
      const message = method.requestDeserialize(bytes) as object;
      received.add(message, bytes);
      return message;
    },
    responseSerialize: (response: unknown) =>
      response instanceof Verbatim ? response.bytes : method.responseSerialize(response),
  };
}
