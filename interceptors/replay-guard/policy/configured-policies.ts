import { assertRecord } from '../../options/known-options.js';
import { assertPolicy, type MethodPolicy, resolvePolicy } from './policy.js';

/** The options of a guard that concern policies. */
export interface PolicyOptions {
  /** The retention of methods whose policy has no retention, in milliseconds. Default: 24 hours. */
  readonly retentionMs?: number;
  /**
   * Policies by method path, such as `/pkg.v1.Service/Method`. These policies have precedence over policies in the
   * `.proto` file.
   */
  readonly policies?: Readonly<Record<string, Partial<MethodPolicy>>>;
}

const methodPath = /^\/[A-Za-z_][\w.]*\/[A-Za-z_]\w*$/;

/** The policies in a guard's options. Combines them with the policies in `.proto` files. */
export class ConfiguredPolicies {
  readonly #serverDefaults: Partial<MethodPolicy>;
  readonly #byPath: ReadonlyMap<string, Partial<MethodPolicy>>;
  readonly #unused: Set<string>;

  /** @throws TypeError if the policies are not a record, if a path is malformed, or if a policy has an unknown or invalid field */
  constructor({ retentionMs, policies = {} }: PolicyOptions) {
    assertRecord('policies', policies);
    this.#serverDefaults = retentionMs === undefined ? {} : { retentionMs };
    for (const [path, policy] of Object.entries(policies)) {
      if (!methodPath.test(path))
        throw new TypeError(`policies: ${path} is not a method path such as /pkg.v1.Service/Method`);
      assertPolicy(path, policy);
    }
    this.#byPath = new Map(Object.entries(policies));
    this.#unused = new Set(this.#byPath.keys());
  }

  /**
   * Returns the effective policy of a method. A field in code has precedence over the same field in the `.proto`
   * file. Both have precedence over the defaults of the server.
   * @param declared the policy in the `.proto` file
   * @throws TypeError if a field is invalid
   */
  effective(path: string, declared: Partial<MethodPolicy>): MethodPolicy {
    this.#unused.delete(path);
    return resolvePolicy(path, this.#serverDefaults, declared, this.#byPath.get(path) ?? {});
  }

  /**
   * Checks that a method without side effects has no policy, or only the mode OFF. Such a method is never guarded.
   * @throws TypeError if the method has another policy
   */
  assertUnguarded(path: string, declared: Partial<MethodPolicy>): void {
    this.#unused.delete(path);
    const { mode = 'OFF', ...rest } = { ...declared, ...this.#byPath.get(path) };
    if (mode !== 'OFF' || Object.keys(rest).length > 0)
      throw new TypeError(
        `policy of ${path}: the method is declared NO_SIDE_EFFECTS, so it is never guarded`,
      );
  }

  /**
   * Checks that each policy of a service belongs to one of its methods.
   * @param paths the paths of all methods of the service
   * @throws TypeError if a policy names a method that the service does not have
   */
  assertMethodsExist(paths: readonly string[]): void {
    const services = new Set(paths.map(serviceOf));
    const unknown = [...this.#byPath.keys()].find(
      (path) => services.has(serviceOf(path)) && !paths.includes(path),
    );
    if (!unknown) return;
    const methods = paths.filter((path) => serviceOf(path) === serviceOf(unknown)).map(methodOf);
    throw new TypeError(
      `policies: ${unknown}: the service has no such method; its methods are ${methods.join(', ')}`,
    );
  }

  /**
   * Emits one process warning about policies for services that were never protected. Call this method after all
   * services are protected.
   */
  warnOfUnused(): void {
    for (const path of this.#unused) {
      process.emitWarning(`the policy for ${path} has no effect: its service is not protected`, {
        type: 'ReplayGuardWarning',
        code: 'REPLAY_GUARD_UNUSED_POLICY',
      });
    }
    this.#unused.clear();
  }
}

const methodOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

const serviceOf = (path: string) => path.slice(0, path.lastIndexOf('/'));
