import { BalancedChoices } from '../../helpers/faults/seeded-random.js';
import type { Arena, Fault } from './fault.js';

/** Returns a fault whose strikes are those of several faults. Each part strikes equally often, in random order. */
export function combined(title: string, parts: readonly Fault[]): Fault {
  const ofArena = new WeakMap<Arena, BalancedChoices<string>>();
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
      const choices = ofArena.get(arena) ?? new BalancedChoices(arena.random, equally(parts));
      ofArena.set(arena, choices);
      return (parts[Number(choices.next())] as Fault).strike(arena);
    },
  };
}

function equally(parts: readonly Fault[]): Record<string, number> {
  return Object.fromEntries(parts.map((_part, index) => [String(index), 1]));
}
