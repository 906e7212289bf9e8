import { assertKnownOptions, assertRecord } from '../../options/known-options.js';
import type { GuardMode } from './policy.js';

/** Modes that are set while the server runs. An omitted mode has the value that it had at the start of the server. */
export interface ModeSettings {
  /** The mode of methods whose policy has no mode. */
  readonly server?: GuardMode;
  /** Modes by full method path. These modes have precedence over the policy of the method. */
  readonly methods?: Readonly<Record<string, GuardMode>>;
}

const guardModes: ReadonlySet<unknown> = new Set<GuardMode>(['OFF', 'OBSERVE', 'ENFORCE']);

/** The modes of all methods. Immutable. */
export class Modes {
  readonly #initial: GuardMode;
  readonly #settings: ModeSettings;

  /** @throws TypeError if a mode or a setting is unknown */
  constructor(initial: GuardMode = 'ENFORCE', settings: ModeSettings = {}) {
    assertKnownOptions<ModeSettings>('setModes', settings, { server: true, methods: true });
    assertGuardMode('mode', initial);
    if (settings.server !== undefined) assertGuardMode('mode of the server', settings.server);
    if (settings.methods !== undefined) assertRecord('modes of the methods', settings.methods);
    for (const [path, mode] of Object.entries(settings.methods ?? {}))
      assertGuardMode(`mode of ${path}`, mode);
    this.#initial = initial;
    this.#settings = structuredClone(settings);
  }

  /**
   * Returns the modes with new settings. The previous settings no longer apply.
   * @throws TypeError if a mode or a setting is unknown
   */
  with(settings: ModeSettings): Modes {
    return new Modes(this.#initial, settings);
  }

  /**
   * Returns the mode of a method. The order of precedence: setting of the method, its policy, setting of the
   * server, initial mode.
   * @param declared the mode in the method's policy
   */
  of(path: string, declared?: GuardMode): GuardMode {
    const { server, methods = {} } = this.#settings;
    const set = Object.hasOwn(methods, path) ? methods[path] : undefined;
    return set ?? declared ?? server ?? this.#initial;
  }
}

function assertGuardMode(name: string, mode: unknown): void {
  if (!guardModes.has(mode))
    throw new TypeError(`${name} must be OFF, OBSERVE or ENFORCE, not ${String(mode)}`);
}
