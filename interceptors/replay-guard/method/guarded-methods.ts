import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { DescriptorSet } from '../descriptors/descriptor-set.js';
import type { ReplayGuardObserver } from '../observer.js';
import { ConfiguredPolicies, type PolicyOptions } from '../policy/configured-policies.js';
import type { ModeSettings, Modes } from '../policy/modes.js';
import type { GuardMode, MethodPolicy } from '../policy/policy.js';
import { type GuardedMethod, protectService } from './guarded-method.js';
import { isOperational, Registration, RegistrationWarnings } from './registration.js';

/** The current settings of a guarded method. */
export interface GuardedMethodReport {
  /** The full method path, such as `/pkg.v1.Service/Method`. */
  readonly path: string;
  /** The mode for new calls. */
  readonly mode: GuardMode;
  /** The effective policy: code, `.proto` file, server defaults and built-in defaults combined. */
  readonly policy: MethodPolicy;
}

/** All methods of the protected services, and their modes. */
export class GuardedMethods {
  #modes: Modes;
  readonly #observer: Pick<ReplayGuardObserver, 'methodProtected'>;
  readonly #policies: ConfiguredPolicies;
  readonly #descriptors: DescriptorSet | undefined;
  readonly #byPath = new Map<string, GuardedMethod>();
  readonly #warnings = new RegistrationWarnings();
  readonly #registrations = new Map<string, Registration>();
  #hasService = false;
  /** The paths of methods with a stream of requests, each with the mode in its policy. */
  readonly #unguardable = new Map<string, GuardMode | undefined>();

  /** @throws TypeError if a policy or the descriptor set is invalid */
  constructor(
    modes: Modes,
    options: PolicyOptions & { readonly descriptors?: Uint8Array },
    observer: Pick<ReplayGuardObserver, 'methodProtected'>,
  ) {
    this.#modes = modes;
    this.#observer = observer;
    this.#policies = new ConfiguredPolicies(options);
    this.#descriptors = options.descriptors && new DescriptorSet(options.descriptors);
  }

  /** Emits one process warning about policies for services that were never protected. */
  warnOfUnused(): void {
    this.#policies.warnOfUnused();
  }

  /**
   * Returns the method of a call that has reached the interceptor. Returns undefined if the path belongs to no guarded
   * method. Emits one process warning if no service is protected.
   * @param decoder the request decoder of the server
   */
  find(path: string, decoder: (bytes: Buffer) => unknown): GuardedMethod | undefined {
    const method = this.#byPath.get(path);
    if (method) method.registration.callIntercepted(decoder);
    else if (!this.#hasService && !isOperational(path))
      this.#warnings.emit('REPLAY_GUARD_NOT_PROTECTED', path);
    return method;
  }

  /**
   * Whether the server of a call has registered the protected definition of the method. Emits one process warning for
   * each service if not.
   * @param serialize the response encoder of the server
   */
  isRegistered({ path, registration }: GuardedMethod, serialize: (response: never) => Buffer): boolean {
    if (registration.sendsVerbatim(serialize)) return true;
    this.#warnings.emit('REPLAY_GUARD_NOT_REGISTERED', path);
    return false;
  }

  /**
   * Returns a call of a server that has the interceptor twice, unchanged. Emits one process warning for each service.
   */
  pass({ path }: GuardedMethod, call: ServerInterceptingCallInterface): ServerInterceptingCall {
    this.#warnings.emit('REPLAY_GUARD_INTERCEPTED_TWICE', path);
    return new ServerInterceptingCall(call);
  }

  /** Returns the current mode of a method. */
  modeOf({ path, policy }: GuardedMethod): GuardMode {
    return this.#modes.of(path, policy.mode);
  }

  /**
   * Adds the methods of a service, and returns the definition to register at the server.
   * @throws TypeError if a policy is invalid, or if a method with a stream of requests is not OFF
   */
  protect<T extends ServiceDefinition>(definition: T): T {
    const registrationOf = (path: string) => this.#registrationOf(path);
    const service = protectService(definition, this.#policies, this.#descriptors, registrationOf);
    this.#hasService = true;
    for (const { path, policy } of service.unguardable) assertOff(path, this.#modes.of(path, policy.mode));
    for (const { path, policy } of service.unguardable) this.#unguardable.set(path, policy.mode);
    for (const method of service.methods) {
      if (!this.#byPath.has(method.path)) this.#observer.methodProtected(method.observed);
      this.#byPath.set(method.path, method);
    }
    return service.definition;
  }

  #registrationOf(path: string): Registration {
    const known = this.#registrations.get(path);
    if (known) return known;
    const registration = new Registration(() => {
      const method = this.#byPath.get(path);
      if (method && this.modeOf(method) !== 'OFF') this.#warnings.emit('REPLAY_GUARD_NOT_INTERCEPTED', path);
    });
    this.#registrations.set(path, registration);
    return registration;
  }

  /**
   * Replaces the mode settings. After an error, all modes are unchanged.
   * @throws TypeError if a mode or a method is unknown, or if a method with a stream of requests is not OFF
   */
  setModes(settings: ModeSettings): void {
    const modes = this.#modes.with(settings);
    for (const path of Object.keys(settings.methods ?? {})) {
      if (!this.#byPath.has(path) && !this.#unguardable.has(path))
        throw new TypeError(`mode of ${path}: no guarded method has this path`);
    }
    for (const [path, declared] of this.#unguardable) assertOff(path, modes.of(path, declared));
    this.#modes = modes;
  }

  /** Returns the settings of all methods. */
  report(): GuardedMethodReport[] {
    const methods = [...this.#byPath.values()];
    return methods.map((method) => ({
      path: method.path,
      mode: this.modeOf(method),
      policy: method.policy,
    }));
  }
}

function assertOff(path: string, mode: GuardMode): void {
  if (mode === 'OFF') return;
  throw new TypeError(
    `${path} takes a stream of requests, so it cannot be guarded: set its policy's mode to OFF`,
  );
}
