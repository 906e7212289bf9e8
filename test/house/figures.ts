import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { countArrows, cyclesOf, longestPath } from './directed-graph.js';
import { type ImportGraph, readImportGraph } from './import-graph.js';
import { closedRooms, libraryLayers, shopLayers } from './rooms.js';
import { deepImports, roomCycles } from './rules.js';

/** The room of the client in checkouts before version 0.2.0. */
const FORMER_CLIENT_ROOM = 'interceptors/idempotency-key';

/**
 * Prints the import figures of a checkout: `npm run imports [-- --root DIR]`. Also an older checkout can be
 * measured, if the library is in `interceptors/` and the shop is in `src/`. A file without a room counts as a part of
 * its folder in the figure of rooms.
 */
const { values } = parseArgs({ options: { root: { type: 'string', default: '.' } } });
const graph = readImportGraph(resolve(values.root), ['interceptors', 'src']);
for (const [name, value] of figuresOf(graph)) console.log(`${name.padEnd(30)} ${value}`);

function figuresOf(graph: ImportGraph): [string, string | number][] {
  const { arrows, folderArrows } = graph;
  const sources = [...graph.folders].map(
    ([folder, files]) => [folder, files.filter((file) => file.endsWith('.ts')).length] as const,
  );
  const [[fullest, files] = ['', 0]] = sources.sort(([, a], [, b]) => b - a);
  const deep = deepImports(graph, [...closedRooms, FORMER_CLIENT_ROOM]);
  const rooms = roomCycles(graph, [...libraryLayers, ...shopLayers]);
  return [
    ['files', arrows.size],
    ['folders', folderArrows.size],
    ['longest import path', longestPath(arrows)],
    ['arrows', countArrows(arrows)],
    ['arrows between folders', countArrows(folderArrows)],
    ['cycles of files', inWords(cyclesOf(arrows))],
    ['cycles of folders', inWords(cyclesOf(folderArrows))],
    ['cycles of rooms', rooms.length],
    ['fullest folder', `${files} files in ${fullest}`],
    ['deep imports into closed rooms', deep.length],
  ];
}

function inWords(cycles: readonly string[][]): string | number {
  if (cycles.length === 0) return 0;
  const sizes = cycles.map(({ length }) => length).sort((a, b) => b - a);
  return `${cycles.length}, of ${sizes.join(', ')}`;
}
