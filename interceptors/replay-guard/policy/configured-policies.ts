import { assertPolicy, type MethodPolicy, resolvePolicy } from './policy.js';

/** What a guard's options say of policies. */
export interface PolicyOptions {
  readonly retentionMs?: number;
  readonly policies?: Readonly<Record<string, Partial<MethodPolicy>>>;
}

const methodPath = /^\/[A-Za-z_][\w.]*\/[A-Za-z_]\w*$/;

/** The policies that a guard is given in code, and what they make of those that methods declare. */
export class Policies {
  readonly #byServer: Partial<MethodPolicy>;
  readonly #inCode: ReadonlyMap<string, Partial<MethodPolicy>>;
  readonly #unused: Set<string>;

  /** @throws TypeError an entry is not for a method, or has an unknown or mistyped field */
  constructor({ retentionMs, policies = {} }: PolicyOptions) {
    this.#byServer = retentionMs === undefined ? {} : { retentionMs };
    for (const [path, policy] of Object.entries(policies)) {
      if (!methodPath.test(path))
        throw new TypeError(`policies: ${path} is no method path such as /pkg.v1.Service/Method`);
      assertPolicy(path, policy);
    }
    this.#inCode = new Map(Object.entries(policies));
    this.#unused = new Set(this.#inCode.keys());
  }

  /**
   * The effective policy of a method: code wins over what the method declares, that over the server's defaults.
   * @throws TypeError a field is invalid
   */
  effective(path: string, declared: Partial<MethodPolicy>): MethodPolicy {
    this.#unused.delete(path);
    return resolvePolicy(path, this.#byServer, declared, this.#inCode.get(path) ?? {});
  }

  /** @throws TypeError the method, which is never guarded, was given a policy other than OFF */
  assertNone(path: string, declared: Partial<MethodPolicy>): void {
    this.#unused.delete(path);
    const { mode = 'OFF', ...rest } = { ...declared, ...this.#inCode.get(path) };
    if (mode !== 'OFF' || Object.keys(rest).length > 0)
      throw new TypeError(
        `policy of ${path}: the method is declared NO_SIDE_EFFECTS, so it is never guarded`,
      );
  }

  /** @throws TypeError there is a policy for a method that a service with these methods does not have */
  assertFor(paths: readonly string[]): void {
    const services = new Set(paths.map(serviceOf));
    const stray = [...this.#inCode.keys()].find(
      (path) => services.has(serviceOf(path)) && !paths.includes(path),
    );
    if (stray) throw new TypeError(`policies: ${stray}: the service has no such method`);
  }

  /** Warns, once, of policies for services that were never protected: only calls show that all have been. */
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

const serviceOf = (path: string) => path.slice(0, path.lastIndexOf('/'));
