import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { DescriptorSet } from '../descriptors/descriptor-set.js';
import { requestReader } from '../fingerprint/fingerprint.js';
import type { ObservedMethod } from '../observer.js';
import type { ConfiguredPolicies } from '../policy/configured-policies.js';
import type { MethodPolicy } from '../policy/policy.js';
import type { MethodOptions } from '../policy/proto-option.js';
import { readProtoMethod } from './proto-method.js';
import { ReceivedRequest, ReceivedRequests } from './received-request.js';
import type { Registration } from './registration.js';
import { Verbatim } from './verbatim.js';

/** A method whose calls are guarded: its policy and its codecs. */
export interface GuardedMethod {
  /** The full method path, such as `/pkg.v1.Service/Method`. */
  readonly path: string;
  /** Whether the method returns a stream of messages. */
  readonly streams: boolean;
  readonly policy: MethodPolicy;
  /** The service and method names for the observer. */
  readonly observed: ObservedMethod;
  /** How servers have registered the method. */
  readonly registration: Registration;
  /**
   * Returns a request and its bytes, and forgets the bytes. Must be called once for each message, when grpc-js passes the
   * message on.
   * @param message a request that the protected definition decoded
   */
  receive(message: object): ReceivedRequest;
  /** Encodes a response message. */
  serialize(response: unknown): Buffer;
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
 * @param registrationOf returns the registration of the method with a path, which all definitions of the method share
 * @throws TypeError if a policy is invalid, or belongs to no method of the service
 */
export function protectService<T extends ServiceDefinition>(
  definition: T,
  policies: ConfiguredPolicies,
  descriptors: DescriptorSet | undefined,
  registrationOf: (path: string) => Registration,
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
    const registration = registrationOf(method.path);
    methods.push({ ...describeMethod(method), policy, registration, receive });
    return [name, withCodecs(method, registration, (message, bytes) => received.add(message, bytes))];
  });
  return { definition: Object.fromEntries(entries) as T, methods, unguardable };
}

function describeMethod(method: AnyMethod) {
  const [, service = '', name = ''] = method.path.split('/');
  return {
    path: method.path,
    streams: method.responseStream,
    observed: { service, method: name },
    serialize: (response: unknown) => method.responseSerialize(response),
  };
}

/**
 * Returns a method that remembers requests and sends stored bytes unchanged. `addService` reads the decoder once for each
 * server, so each server gets a decoder of its own. A server without the interceptor is thereby found beside one with it.
 */
function withCodecs(
  method: AnyMethod,
  registration: Registration,
  onRequest: (message: object, bytes: Buffer) => void,
): AnyMethod {
  const changed = {
    ...method,
    responseSerialize: (response: unknown) =>
      response instanceof Verbatim ? response.bytes : method.responseSerialize(response),
  };
  return Object.defineProperty(changed, 'requestDeserialize', {
    enumerable: true,
    get: () => registration.decoder(method.requestDeserialize, onRequest),
  });
}
