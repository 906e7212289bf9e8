import type { ServiceDefinition } from '@grpc/grpc-js';
import { Descriptors } from '../descriptors/descriptor-set.js';
import { Policies, type PolicyOptions } from '../policy/configured-policies.js';
import type { ModeSettings, Modes } from '../policy/modes.js';
import type { GuardMode, MethodPolicy } from '../policy/policy.js';
import { type GuardedMethod, protectService } from './guarded-method.js';

/** What a guarded method is set to. */
export interface GuardedMethodReport {
  readonly path: string;
  readonly mode: GuardMode;
  readonly policy: MethodPolicy;
}

/** The methods that were handed to the guard, and the mode of each. */
export class GuardedMethods {
  #modes: Modes;
  readonly #policies: Policies;
  readonly #descriptors: Descriptors | undefined;
  readonly #byPath = new Map<string, GuardedMethod>();
  /** Methods with a stream of requests, by the mode that they declare. */
  readonly #unguardable = new Map<string, GuardMode | undefined>();

  /** @throws TypeError a policy or the descriptors are invalid */
  constructor(modes: Modes, options: PolicyOptions & { readonly descriptors?: Uint8Array }) {
    this.#modes = modes;
    this.#policies = new Policies(options);
    this.#descriptors = options.descriptors && new Descriptors(options.descriptors);
  }

  /** Warns, once, of policies for services that were never protected. */
  warnOfUnused(): void {
    this.#policies.warnOfUnused();
  }

  find(path: string): GuardedMethod | undefined {
    return this.#byPath.get(path);
  }

  modeOf({ path, policy }: GuardedMethod): GuardMode {
    return this.#modes.of(path, policy.mode);
  }

  /** @throws TypeError a policy is invalid, or a method whose requests stream would be guarded */
  protect<T extends ServiceDefinition>(definition: T): T {
    const service = protectService(definition, this.#policies, this.#descriptors);
    for (const { path, policy } of service.unguardable) assertOff(path, this.#modes.of(path, policy.mode));
    for (const { path, policy } of service.unguardable) this.#unguardable.set(path, policy.mode);
    for (const method of service.methods) this.#byPath.set(method.path, method);
    return service.definition;
  }

  /** @throws TypeError and leaves all as it is */
  setModes(settings: ModeSettings): void {
    const modes = this.#modes.with(settings);
    for (const path of Object.keys(settings.methods ?? {})) {
      if (!this.#byPath.has(path) && !this.#unguardable.has(path))
        throw new TypeError(`mode of ${path}: no guarded method has this path`);
    }
    for (const [path, declared] of this.#unguardable) assertOff(path, modes.of(path, declared));
    this.#modes = modes;
  }

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
    `${path} takes a stream of requests, which no key can stand for: set its policy's mode to OFF`,
  );
}
