import type { GuardMode } from './policy.js';

/** Modes set while the server runs; what is left out is as it was at the start. */
export interface ModeSettings {
  /** For methods whose policy does not say. */
  readonly server?: GuardMode;
  /** By full method path; wins over the method's policy. */
  readonly methods?: Readonly<Record<string, GuardMode>>;
}

const settingNames: ReadonlySet<string> = new Set<keyof ModeSettings>(['server', 'methods']);
const known: ReadonlySet<unknown> = new Set<GuardMode>(['OFF', 'OBSERVE', 'ENFORCE']);

/** Which mode each method is in; immutable. */
export class Modes {
  readonly #atStart: GuardMode;
  readonly #settings: ModeSettings;

  /** @throws TypeError a mode or setting is unknown */
  constructor(atStart: GuardMode = 'ENFORCE', settings: ModeSettings = {}) {
    for (const name of Object.keys(settings)) {
      if (!settingNames.has(name)) throw new TypeError(`modes: unknown setting ${name}`);
    }
    assertKnown('mode', atStart);
    if (settings.server !== undefined) assertKnown('mode of the server', settings.server);
    for (const [path, mode] of Object.entries(settings.methods ?? {})) assertKnown(`mode of ${path}`, mode);
    this.#atStart = atStart;
    this.#settings = structuredClone(settings);
  }

  /** The modes with other settings than before. @throws TypeError a mode is unknown */
  with(settings: ModeSettings): Modes {
    return new Modes(this.#atStart, settings);
  }

  /** @param declared the mode of the method's policy */
  of(path: string, declared?: GuardMode): GuardMode {
    const { server, methods = {} } = this.#settings;
    const set = Object.hasOwn(methods, path) ? methods[path] : undefined;
    return set ?? declared ?? server ?? this.#atStart;
  }
}

function assertKnown(what: string, mode: unknown): void {
  if (!known.has(mode)) throw new TypeError(`${what} must be OFF, OBSERVE or ENFORCE, not ${String(mode)}`);
}
