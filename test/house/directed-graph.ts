/** Arrows by the node that they start from. Every node has an entry, also a node without arrows. */
export type Arrows = ReadonlyMap<string, ReadonlySet<string>>;

/** The strongly connected components: a component of two nodes or more is a cycle. Lower components come first. */
export function componentsOf(arrows: Arrows): string[][] {
  const components: string[][] = [];
  const indexes = new Map<string, number>();
  const lowest = new Map<string, number>();
  const path: string[] = [];
  const visit = (node: string): number => {
    const index = indexes.size;
    indexes.set(node, index);
    let low = index;
    path.push(node);
    for (const target of arrows.get(node) ?? []) {
      if (!indexes.has(target)) low = Math.min(low, visit(target));
      else if (path.includes(target)) low = Math.min(low, indexes.get(target) ?? low);
    }
    lowest.set(node, low);
    if (low === index) components.push(path.splice(path.indexOf(node)).sort());
    return low;
  };
  for (const node of arrows.keys()) if (!indexes.has(node)) visit(node);
  return components;
}

/** The components of two nodes or more, and the nodes with an arrow to themselves. */
export function cyclesOf(arrows: Arrows): string[][] {
  return componentsOf(arrows).filter(
    ([first = '', ...others]) => others.length > 0 || arrows.get(first)?.has(first),
  );
}

/** The number of nodes on the longest path. A cycle counts as one node. */
export function longestPath(arrows: Arrows): number {
  const heights = new Map<string, number>();
  for (const component of componentsOf(arrows)) {
    const below = component.flatMap((node) => [...(arrows.get(node) ?? [])]);
    const outside = below.filter((node) => !component.includes(node));
    const height = 1 + Math.max(0, ...outside.map((node) => heights.get(node) ?? 0));
    for (const node of component) heights.set(node, height);
  }
  return Math.max(0, ...heights.values());
}

/** Joins the nodes of a group into one node. Arrows inside a group are omitted. */
export function grouped(arrows: Arrows, groupOf: (node: string) => string): Arrows {
  const groups = new Map<string, Set<string>>();
  for (const [node, targets] of arrows) {
    const group = groupOf(node);
    const found = groups.get(group) ?? new Set();
    groups.set(group, found);
    for (const target of targets) if (groupOf(target) !== group) found.add(groupOf(target));
  }
  return groups;
}

/** How many arrows a graph has. */
export function countArrows(arrows: Arrows): number {
  return [...arrows.values()].reduce((sum, { size }) => sum + size, 0);
}
