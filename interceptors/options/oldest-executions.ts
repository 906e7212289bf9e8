/** A method, as observers receive it. */
interface Method {
  readonly service: string;
  readonly method: string;
}

/** A guard, as far as this file reads it. */
interface Guard {
  /** Returns the ages of the oldest execution of each method, in seconds. */
  oldestExecutions(): ReadonlyMap<Method, number>;
}

/** Reads the ages of the oldest executions of several guards, for the observers that keep metrics. */
export class OldestExecutions {
  readonly #guards = new Set<Guard>();
  readonly #methods = new Map<string, Method>();

  addGuard(guard: Guard): void {
    this.#guards.add(guard);
  }

  removeGuard(guard: Guard): void {
    this.#guards.delete(guard);
  }

  /** Adds a method, which has the age 0 while no execution of it runs. */
  addMethod(method: Method): void {
    this.#methods.set(nameOf(method), method);
  }

  /** Returns each method with the age of its oldest execution, in seconds. */
  ages(): [method: Method, seconds: number][] {
    const ages = new Map<string, number>();
    for (const guard of this.#guards)
      for (const [method, seconds] of guard.oldestExecutions())
        ages.set(nameOf(method), Math.max(seconds, ages.get(nameOf(method)) ?? 0));
    return [...this.#methods].map(([name, method]) => [method, ages.get(name) ?? 0]);
  }
}

function nameOf({ service, method }: Method): string {
  return `${service}/${method}`;
}
