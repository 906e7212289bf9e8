import type { Arena, Fault } from './fault.js';

/** Returns a fault whose strikes are those of several faults, in random order. */
export function combined(title: string, parts: readonly Fault[]): Fault {
  const [first, ...others] = parts as readonly [Fault, ...Fault[]];
  return {
    title,
    engines: first.engines.filter((engine) => others.every(({ engines }) => engines.includes(engine))),
    lacks: (machine) => parts.map((part) => part.lacks?.(machine)).find((lacking) => lacking !== undefined),
    viaProxy: parts.some(({ viaProxy }) => viaProxy),
    servers: Object.assign({}, ...parts.map(({ servers }) => servers)),
    ...(parts.some(({ cluster }) => cluster) && { cluster: {} }),
    requires: [...new Set(parts.flatMap(({ requires }) => requires))],
    pauseMs: Math.min(...parts.map(({ pauseMs }) => pauseMs)),
    strike: (arena: Arena) => {
      const part = parts[Math.floor(arena.random() * parts.length)] as Fault;
      return part.strike(arena);
    },
  };
}
